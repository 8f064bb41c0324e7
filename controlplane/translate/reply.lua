-- Callers, for lanes without fallback: says why it answers 503. Marks of proxies stay between proxies.
function envoy_on_request(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local context = handle:filterContext() -- of the route that the router will take
  local lane = context and context:get("strict")
  if lane then metadata:set("laneway", "strict", lane) end
  if handle:headers():get(":method") == "HEAD" then metadata:set("laneway", "head", true) end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if not headers:get("x-laneway-unreached") then return end
  headers:remove("x-laneway-unreached")
  local seen = handle:streamInfo():dynamicMetadata():get("laneway")
  local lane = seen and seen["strict"]
  if lane and headers:get("grpc-status") then -- an answer of headers alone, as gRPC has it
    headers:replace("x-laneway-reason", "lane-unavailable")
    headers:replace("grpc-message", "Lane " .. lane ..
      " has no instance of this service that can be reached, and it does not fall back to base.")
  elseif lane and headers:get(":status") == "503" then
    headers:replace("x-laneway-reason", "lane-unavailable")
    headers:replace("content-type", "application/problem+json")
    local text = '{"type":"about:blank","title":"Lane unavailable","status":503,"detail":"Lane ' .. lane ..
      ' has no instance of this service that can be reached, and it does not fall back to base."}'
    headers:remove("content-encoding")
    if not seen["head"] then -- a body after HEAD would be read as the next answer
      local size = handle:body(true):setBytes(text) -- may wait, after which objects from before are of no use
      handle:headers():replace("content-length", tostring(size))
    end
  end
end
