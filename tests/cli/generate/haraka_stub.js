// Stands for Haraka: loads the plugin as Haraka does, hands it one message, and prints what its hooks gave.
const fs = require('fs')
const vm = require('vm')

const [, , file, given] = process.argv
const { headers = {}, login, rcpt, sender, domain, legacy, stored = true } = JSON.parse(given)
const exported = { logwarn: (text) => console.log(JSON.stringify({ warned: text })) }
const sandbox = { require, exports: exported, process, Buffer, setTimeout, clearTimeout, OK: 906 }
vm.runInNewContext(fs.readFileSync(file, 'utf8'), sandbox, file)

const address = (text) => ({ address: legacy ? () => text : text })
const transaction = {
  notes: {},
  data_bytes: 1234,
  header: { get_all: (name) => headers[name] || [] },
}
const connection = { transaction, remote: { ip: '192.0.2.7' }, notes: { auth_user: login } }
exported.hook_data_post(() => {
  // What is queued goes through a file.
  const notes = stored ? JSON.parse(JSON.stringify(transaction.notes)) : {}
  const todo = { notes, rcpt_to: [address(rcpt)], mail_from: sender === null ? null : address(sender) }
  exported.hook_get_mx((code, mx) => console.log(JSON.stringify({ code, mx })), { todo }, domain)
}, connection)
