-- What wrk sends, and what it counts. Every request names another visitor, so that none can share another's call, and only
-- answers of the one right status count. Says one line of name=value pairs at the end. Settings come by environment:
--   BENCH_KIND   page, call (the API call itself) or handoff     BENCH_PATH    where to
--   BENCH_STATUS the status that counts                          BENCH_FRESH   1: a new connection for each request
--   BENCH_FROM, BENCH_UNTIL   the seconds of the run between which answers count for the rate
--   BENCH_RAMP   seconds: answers count for more and more at first, and for less and less at last. Visitors who began
--                together come in waves, one each delay; a ramp as long counts them the same wherever a wave falls.
local ffi = require "ffi"
ffi.cdef "typedef struct { long s, ns; } bench_time; int clock_gettime(int, bench_time *);"

local VISITORS = 2048
local clock = ffi.new("bench_time")
local threads = {}

local function now()
    ffi.C.clock_gettime(1, clock)
    return tonumber(clock.s) + tonumber(clock.ns) * 1e-9
end

function setup(thread)
    thread:set("number", #threads)
    table.insert(threads, thread)
end

local function prepare(kind, path, visitor)
    local id = string.format("7459%013d", visitor)
    local head = {["User-Agent"] = "visitor " .. visitor}
    if os.getenv("BENCH_FRESH") == "1" then
        head["Connection"] = "close"
    end
    if kind == "handoff" then
        return wrk.format("GET", path .. "?j=" .. id, head)
    elseif kind == "page" then
        return wrk.format("GET", path, head)
    end
    head["Authorization"] = "Bearer bench-key"
    head["Content-Type"] = "application/json"
    head["Accept"] = "application/json"
    return wrk.format("POST", path, head, '{"Journey":{"Id":' .. id .. '}}')
end

function init()
    requests, at = {}, 0
    for i = 1, VISITORS do
        requests[i] = prepare(os.getenv("BENCH_KIND"), os.getenv("BENCH_PATH"), number * VISITORS + i)
    end
    wanted = tonumber(os.getenv("BENCH_STATUS"))
    good, counted, other, other_status = 0, 0, 0, 0
    from = now() + tonumber(os.getenv("BENCH_FROM"))
    till = now() + tonumber(os.getenv("BENCH_UNTIL"))
    ramp = math.max(tonumber(os.getenv("BENCH_RAMP")), 1e-6)
end

function request()
    at = at % VISITORS + 1
    return requests[at]
end

function response(status)
    if status ~= wanted then
        other, other_status = other + 1, status
        return
    end
    good = good + 1
    local time = now()
    if time >= from and time < till then
        counted = counted + math.min(1, (time - from) / ramp, (till - time) / ramp)
    end
end

function done(summary, latency)
    local sum = {good = 0, counted = 0, other = 0, other_status = 0}
    for _, thread in ipairs(threads) do
        for name in pairs(sum) do
            sum[name] = sum[name] + thread:get(name)
        end
        if thread:get("other_status") > 0 then
            sum.other_status = thread:get("other_status")
        end
    end
    local e = summary.errors
    print(string.format("bench good=%d counted=%.2f other=%d other_status=%d connect=%d read=%d write=%d timeout=%d p50=%.1f p99=%.1f",
        sum.good, sum.counted, sum.other, sum.other_status, e.connect, e.read, e.write, e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
