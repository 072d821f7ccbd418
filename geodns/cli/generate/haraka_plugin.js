
// What the message says of itself, as long as its headers are at hand; it is kept with the queued mail.
exports.hook_data_post = function (next, connection) {
  const transaction = connection.transaction
  if (transaction) {
    transaction.notes.geodns = {
      class: classOf(transaction.header),
      client: connection.remote.ip,
      sasl: connection.notes.auth_user,
      size: transaction.data_bytes,
    }
  }
  next()
}

exports.hook_get_mx = function (next, hmail, domain) {
  if (LOCAL.some((one) => new RegExp(one, 'i').test(domain))) return next()
  const { todo } = hmail
  const told = todo.notes.geodns || {}
  const question = { zone: ZONE, recipient: text(todo.rcpt_to[0]), sender: text(todo.mail_from), ...told }
  ask(question, (error, answer) => {
    let where
    if (error) {
      this.logwarn(`geodns at ${ASK.socketPath || ASK.host}: ${error.message}: the static way`)
      where = BY_CLASS[told.class] || STATIC
    } else {
      where = exchanges(answer.transport)
    }
    // Without one, Haraka asks for the MX of the domain, as it does without this plugin.
    if (where && where.length) next(OK, where)
    else next()
  })
}

function classOf(header) {
  const found = CLASSES.find(([, signs]) =>
    signs.some(([name, words]) =>
      header.get_all(name).some((value) => !words || words.includes(value.trim().toLowerCase())),
    ),
  )
  return found && found[0]
}

// In older versions of Haraka `address` is a method; the null sender has none.
function text(address) {
  return (address && (typeof address.address === 'function' ? address.address() : address.address)) || ''
}

function exchanges(transport) {
  return [...String(transport || '').matchAll(/\[([^\]]+)\]:(\d+)/g)].map(([, exchange, port], priority) => ({
    exchange,
    port: Number(port),
    priority,
  }))
}

function ask(question, answered) {
  const body = JSON.stringify(question)
  const request = http.request({
    ...ASK,
    agent: false,
    method: 'POST',
    path: '/route',
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
  })
  let waits = true
  const once = (error, answer) => {
    if (!waits) return
    waits = false
    clearTimeout(timer)
    request.destroy()
    answered(error, answer)
  }
  const timer = setTimeout(() => once(new Error('no answer in time')), TIMEOUT)
  request.on('error', once)
  request.on('response', (response) => {
    let said = ''
    response.setEncoding('utf8')
    response.on('error', once)
    response.on('data', (piece) => {
      said += piece
      if (said.length > MOST) once(new Error('more than can be true'))
    })
    response.on('end', () => {
      try {
        if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
        once(null, JSON.parse(said))
      } catch (error) {
        once(error)
      }
    })
  })
  request.end(body)
}
