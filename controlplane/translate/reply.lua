-- Callers: marks of proxies stay between proxies, and a lane without fallback says why it answers 503.
function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get(":method") == "HEAD" then
    handle:streamInfo():dynamicMetadata():set("laneway", "head", true)
  end
  if receive then receive(handle, headers) end -- at edges, see receive.lua
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local metadata = handle:streamInfo():dynamicMetadata()
  local seen = metadata:get("laneway")
  if seen and seen["open"] then metadata:set("laneway", "answered", true) end
  local served = headers:get("x-laneway-served")
  if served then
    headers:remove("x-laneway-served")
    local lane, base = string.match(served, "^(%S+) (.+)$")
    if base and base ~= "-" then
      metadata:set("laneway", "lane", lane)
      metadata:set("laneway", "fallback", base)
    end
  end
  if headers:get("x-laneway-unreached") then
    headers:remove("x-laneway-unreached")
    local context = handle:filterContext()
    local lane = seen and seen["strict"] or context and context:get("strict")
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
      if not (seen and seen["head"]) then -- a body after HEAD would be read as the next answer
        headers:replace("content-length", tostring(handle:body(true):setBytes(text)))
      end
    end
  end
end
