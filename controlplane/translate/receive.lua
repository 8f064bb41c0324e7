-- Edge, before `reply`: a request whose body stalls ends soon. Once it is whole, its answer may be as late as any
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

function receive(handle, headers)
  if streams(handle, headers) or whole(handle) then return end
  local context = handle:filterContext() -- of the route that the router will take
  local own = context and context:get("idle") -- an idle time of its own
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("laneway", "open", true)
  if context and context:get("strict") then metadata:set("laneway", "strict", context:get("strict")) end
  if not own then
    headers:replace("x-laneway-phase", "receiving")
    handle:clearRouteCache()
    handle:metadata() -- looks the route up
    headers:remove("x-laneway-phase")
    handle:clearRouteCache()
  end
  for _ in handle:bodyChunks() do end
  if not own and not handle:streamInfo():dynamicMetadata():get("laneway")["answered"] then
    handle:clearRouteCache() -- the router has its route; what is looked up now only changes the idle time
    handle:metadata()
  end
end
