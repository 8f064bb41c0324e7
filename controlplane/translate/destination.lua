-- Redirect capture: the original destination takes the place of the host while a virtual host is looked for, here
-- and at the control plane, which Envoy asks by host. `host` and `elsewhere` put the host back.
function envoy_on_request(handle)
  local headers = handle:headers()
  local host = headers:get(":authority")
  handle:streamInfo():dynamicMetadata():set("laneway", "host", host)
  headers:replace("x-laneway-host", string.lower(host))
  headers:replace(":authority", headers:get("x-laneway-destination"))
  handle:clearRouteCache()
end
