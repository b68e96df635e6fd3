-- The handoff as a script of mod_lua, with LuaSocket and LuaSec. A thread keeps its connections: one for each API.
local socket = require "socket"
local kept = {}

local function connect(secure, port, ca)
    local api = assert(socket.tcp())
    api:settimeout(60)
    assert(api:connect("127.0.0.1", port))
    api:setoption("tcp-nodelay", true)
    if secure then
        api = assert(require("ssl").wrap(api, {mode = "client", protocol = "any", verify = "peer", cafile = ca,
                                               options = {"all", "no_sslv3", "no_tlsv1", "no_tlsv1_1"}}))
        api:settimeout(60)
        assert(api:dohandshake())
    end
    return api
end

-- Returns nothing where the connection has ended meanwhile.
local function ask(api, request)
    if not api:send(request) then return end
    local status = api:receive("*l")
    local length
    if not status then return end
    repeat
        local line = api:receive("*l")
        if not line then return end
        length = length or line:match("^[Cc]ontent%-[Ll]ength: (%d+)")
    until line == ""
    return status, api:receive(tonumber(length))
end

local function call(key, request, ...)
    local used = kept[key]
    local api = used or connect(...)
    local status, body = ask(api, request)
    if not status and used then
        used:close()
        api = connect(...)
        status, body = ask(api, request)
    end
    kept[key] = status and api
    return status, body
end

function handle(r)
    local which, delay = r.uri:match("^/([ct])/(%w+)/onboarding$")
    local base = r.subprocess_env[which == "t" and "API_TLS" or "API_CLEAR"]
    local journey = (r.args or ""):match("j=(%d+)") or ""
    local body = '{"Journey":{"Id":' .. journey .. '}}'
    local request = "POST /" .. delay .. "/api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bench-key\r\n"
        .. "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
    local status, answer = call(which, request, which == "t", tonumber(base:match(":(%d+)$")), r.subprocess_env.API_CA)
    local link = status and status:find(" 200 ", 1, true) and answer:match('"ConnectionURL":"([^"]+)"')
    if not link then return 502 end
    r.headers_out["Cache-Control"] = "no-store"
    r.headers_out["Location"] = link
    return 302
end
