-- What has no virtual host, the control plane asked included, passes. The route is chosen now: the host comes back.
function envoy_on_request(handle)
  local headers = handle:headers()
  if handle:streamInfo():routeName() == "" then
    headers:replace("x-laneway-elsewhere", "true")
    handle:clearRouteCache()
  end
  local kept = handle:streamInfo():dynamicMetadata():get("laneway")
  if kept and kept["host"] then headers:replace(":authority", kept["host"]) end
end
