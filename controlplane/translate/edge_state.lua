
-- Edge, where sidecars read the lane in `tracestate`: takes every member that some agent may read as the lane's.
local STATE = "laneway"

local function states(member)
  if canonical(string.match(member, "^[^=;]*")) == STATE then return true end
  for name in string.gmatch(member, "([^=;]*)=") do
    if canonical(name) == STATE then return true end
  end
end

local strip_and_lift = envoy_on_request
function envoy_on_request(handle)
  local headers = handle:headers()
  local state = headers:get("tracestate")
  if state then
    local others, taken = {}, false
    for member in string.gmatch(state, "[^,]+") do
      if states(member) then taken = true else others[#others + 1] = member end
    end
    if taken then
      headers:remove("tracestate")
      if others[1] then headers:add("tracestate", table.concat(others, ",")) end
    end
  end
  strip_and_lift(handle)
end
