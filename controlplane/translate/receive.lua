-- Edge: a request whose body stalls ends soon. Once it is whole, its answer may be as late as any
-- stream allows. Envoy takes a stream's idle time from each route that is looked up for it, and keeps it where the
-- next route has none.
local function begins(text, start)
  return string.sub(text, 1, #start) == start
end

-- Upgrades, gRPC and Connect are streams by design: they may be silent while their body is open.
local function streams(handle, headers)
  if headers:get("upgrade") or headers:get(":method") == "CONNECT" then return true end
  local kind = headers:get("content-type")
  return kind and (begins(kind, "application/grpc") or begins(kind, "application/connect+"))
    and handle:streamInfo():protocol() == "HTTP/2"
end

-- Asking for the next chunk yields where the body is open. In a coroutine of its own that holds nothing up.
local function whole(handle)
  local asking = coroutine.create(function() return handle:bodyChunks()() end)
  coroutine.resume(asking)
  return coroutine.status(asking) == "dead"
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local silent = not streams(handle, headers) and not whole(handle)
  if silent then
    handle:streamInfo():dynamicMetadata():set("laneway", "open", true)
    headers:replace("x-laneway-phase", "receiving")
    handle:clearRouteCache()
    handle:metadata() -- looks the route up
  end
  headers:replace("x-laneway-phase", "lifted")
  handle:clearRouteCache() -- the router looks up its own
  if not silent then return end
  for _ in handle:bodyChunks() do end
  if handle:streamInfo():dynamicMetadata():get("laneway")["answered"] then return end
  if handle:route():metadata():get("idle") then return end -- the route has an idle time of its own
  handle:clearRouteCache() -- the router has its route; what is looked up now only changes the idle time
  handle:metadata()
end

function envoy_on_response(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local seen = metadata:get("laneway")
  if seen and seen["open"] then metadata:set("laneway", "answered", true) end
end
