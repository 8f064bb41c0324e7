-- Redirect capture: where the destination is no instance, Host decides.
function envoy_on_request(handle)
  local route = handle:streamInfo():routeName()
  if route == "" or route == "~elsewhere" then
    handle:headers():replace(":authority", handle:streamInfo():dynamicMetadata():get("laneway")["host"])
    handle:clearRouteCache()
  end
end
