-- Stands for KumoMTA: the calls of its API that the policy uses, as its reference says what they take and give.
local kumo = { http = {}, serde = {} }
local handlers, warnings, asked = {}, {}, {}
local reply

function kumo.on(event, handler)
  handlers[event] = handler
end

function kumo.log_warn(text)
  table.insert(warnings, text)
end

function kumo.make_queue_config(config)
  return config
end

function kumo.serde.json_encode(value)
  return value -- the test looks into it
end

function kumo.serde.json_parse(text)
  return text
end

function kumo.http.build_client(options)
  assert(options.timeout == '2s')
  local request = {}
  function request:header(name, value)
    assert(name == 'Content-Type' and value == 'application/json')
    return self
  end
  function request:body(body)
    table.insert(asked, body)
    return self
  end
  function request:send()
    if not reply then
      error 'connection refused'
    end
    return {
      status_code = function()
        return reply.status
      end,
      text = function()
        return reply.body
      end,
    }
  end
  return {
    post = function(_, url)
      assert(url == 'http://127.0.0.1:5310/route')
      return request
    end,
  }
end

local function message(given)
  local meta = { received_from = given.from or '192.0.2.7:40000', authn_id = given.login }
  return {
    meta = meta,
    recipient = function()
      return given.recipients or given.recipient
    end,
    sender = function()
      return given.sender or ''
    end,
    get_meta = function(_, key)
      return meta[key]
    end,
    set_meta = function(_, key, value)
      meta[key] = value
    end,
    get_data = function()
      return given.data or 'hello'
    end,
    get_all_named_header_values = function(_, name)
      return (given.headers or {})[string.lower(name)] or {}
    end,
  }
end

package.loaded.kumo = kumo
-- KumoMTA's JSON null: no nil, and no string.
NULL = setmetatable({}, {})

function receive(given)
  reply, asked, warnings = given.reply, {}, {}
  local msg = message(given)
  handlers[given.event or 'smtp_server_message_received'](msg)
  return msg.meta.routing_domain, asked[1], warnings[1]
end

function queue(routing_domain)
  local config = handlers.get_queue_config('gmail.com', nil, nil, routing_domain)
  return config and table.concat(config.protocol.smtp.mx_list, ' ')
end

function is(found, wanted)
  if found ~= wanted then
    error('found ' .. tostring(found) .. ', wanted ' .. tostring(wanted), 2)
  end
end
