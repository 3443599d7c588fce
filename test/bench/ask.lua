-- ask.lua - for wrk: GET /api/DATASET/?login=userN, N at random.
--   wrk ... URL -- DATASET USERS SEED
-- USERS is how many different ones; prints what came of it as one line of JSON.

local target, users

function init(args)
	target = "GET /api/" .. args[1] .. "/?login=user"
	users = tonumber(args[2])
	math.randomseed(tonumber(args[3]))
end

function request()
	return target .. math.random(users) .. " HTTP/1.1\r\nHost: bench\r\n\r\n"
end

function done(summary, latency, requests)
	local errors = summary.errors
	io.write(string.format(
		'{"requests": %d, "us": %d, "bytes": %d, "errors": %d, "p50": %.0f, "p99": %.0f}\n',
		summary.requests, summary.duration, summary.bytes,
		errors.connect + errors.read + errors.write + errors.status + errors.timeout,
		latency:percentile(50), latency:percentile(99)))
end
