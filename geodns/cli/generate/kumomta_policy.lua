
local kumo = require 'kumo'
local geodns = {}
local client

-- Sets the routing domain of a message; whatever goes wrong, the message goes on.
function geodns.route(msg)
  local ok, question = pcall(geodns.question, msg)
  if not ok or geodns.is_local(question.recipient) then
    return
  end
  local asked, name, routed = pcall(geodns.ask, question)
  if not asked then
    kumo.log_warn('geodns at ' .. URL .. ': ' .. tostring(name) .. ': the static way')
    name, routed = BY_CLASS[question.class or ''] or STATIC, true
  end
  if routed and name then
    msg:set_meta('routing_domain', name)
  end
end

-- The queue of each name has that name as its only MX: dealt MX sets would be a new site each time, and limits
-- by site would not add up.
function geodns.protocol(routing_domain)
  local name = string.lower(routing_domain or '')
  if name ~= ZONE and string.sub(name, -#ZONE - 1) ~= '.' .. ZONE then
    return nil
  end
  local port = PORTS[name]
  return { smtp = { mx_list = { port and name .. ':' .. port or name } } }
end

function geodns.queue_config(_domain, _tenant, _campaign, routing_domain)
  local protocol = geodns.protocol(routing_domain)
  return protocol and kumo.make_queue_config { protocol = protocol }
end

function geodns.question(msg)
  local recipient = msg:recipient()
  if type(recipient) == 'table' then
    recipient = recipient[1]
  end
  local from = msg:get_meta 'received_from'
  return {
    zone = ZONE,
    recipient = geodns.text(recipient),
    sender = geodns.text(msg:sender()),
    class = geodns.class_of(msg),
    client = type(from) == 'string' and string.gsub(string.gsub(from, ':%d+$', ''), '[%[%]]', '') or nil,
    sasl = msg:get_meta 'authn_id',
    size = #msg:get_data(),
  }
end

-- The name of the answer; where it is not among the next hops, the first of these: it would lead back here.
function geodns.ask(question)
  client = client or kumo.http.build_client { timeout = TIMEOUT }
  local response = client
    :post(URL)
    :header('Content-Type', 'application/json')
    :body(kumo.serde.json_encode(question))
    :send()
  if response:status_code() ~= 200 then
    error('status ' .. response:status_code(), 0)
  end
  local answer = kumo.serde.json_parse(response:text())
  local transport = answer.transport
  if type(transport) ~= 'string' then
    return nil, false
  end
  if type(answer.name) == 'string' and string.find(transport, '[' .. answer.name .. ']', 1, true) then
    return answer.name, true
  end
  return string.match(transport, '%[([^%]]+)%]'), true
end

function geodns.class_of(msg)
  for _, class in ipairs(CLASSES) do
    for _, sign in ipairs(class.signs) do
      for _, value in ipairs(msg:get_all_named_header_values(sign.header)) do
        local word = string.lower(string.match(value, '^%s*(.-)%s*$'))
        if not sign.words or sign.words[word] then
          return class.name
        end
      end
    end
  end
end

function geodns.is_local(recipient)
  local domain = string.lower(string.match(recipient, '@([^@]*)$') or '')
  for _, pattern in ipairs(LOCAL) do
    if string.match(domain, pattern) then
      return true
    end
  end
  return false
end

function geodns.text(address)
  return (string.gsub(tostring(address or ''), '[<>]', ''))
end

return geodns
