-- The handoff as a script of nginx's Lua, with cosockets; their pool keeps the connections, TLS included.
local which, delay = ngx.var[1], ngx.var[2]
local journey = (ngx.var.arg_j or ""):match("^%d+$") or ""
local body = '{"Journey":{"Id":' .. journey .. '}}'
local request = "POST /" .. delay .. "/api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bench-key\r\n"
    .. "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body

local function call()
    local api = ngx.socket.tcp()
    api:settimeout(60000)
    if not api:connect("127.0.0.1", api_port[which]) then return end
    if which == "t" and api:getreusedtimes() == 0 and not api:sslhandshake(nil, "localhost", true) then return end
    if not api:send(request) then return end
    local status = api:receive("*l")
    local length
    repeat
        local line = api:receive("*l")
        if not line then return end
        length = length or line:match("^[Cc]ontent%-[Ll]ength: (%d+)")
    until line == ""
    local answer = api:receive(tonumber(length))
    api:setkeepalive(60000)
    return status, answer
end

local status, answer = call()
local link = status and status:find(" 200 ", 1, true) and answer and answer:match('"ConnectionURL":"([^"]+)"')
if not link then
    return ngx.exit(502)
end
ngx.header["Cache-Control"] = "no-store"
return ngx.redirect(link, 302)
