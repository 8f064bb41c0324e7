-- Sidecar: reads the lane from either carrier and sets both; outbound, also the header that routes match.
local function read_member(baggage, name)
  local lane, rest, found = nil, {}, 0
  for member in string.gmatch(baggage, "[^,]+") do
    local key = string.match(member, "^%s*([^=;%s]*)")
    if key == name then
      found = found + 1
      lane = string.match(member, "^%s*[^=;%s]*%s*=%s*([^;%s]+)") or lane
    elseif string.find(member, "%S") then
      rest[#rest + 1] = member
    end
  end
  return lane, table.concat(rest, ","), found
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local baggage = headers:get("baggage")
  local lane, carrier, rest = nil, nil, baggage
  for _, candidate in ipairs(CARRIERS) do
    local value = headers:get(candidate.header)
    if value and value ~= "" then
      lane, carrier = value, candidate
      break
    end
  end
  if baggage then
    for _, candidate in ipairs(CARRIERS) do
      if carrier == nil or carrier == candidate then
        local member, others, found = read_member(baggage, candidate.baggage)
        if found > 0 and (member or carrier) then
          if carrier == nil then lane, carrier = member, candidate end
          rest = others
          break
        end
      end
    end
  end
  if lane == nil and DEFAULT then
    lane, carrier = DEFAULT.lane, DEFAULT
    if baggage then rest = select(2, read_member(baggage, carrier.baggage)) end
  end
  if OUTBOUND then
    headers:remove("x-laneway-lane")
    headers:remove("x-laneway-elsewhere")
    if IDEMPOTENT[headers:get(":method")] then
      local on = headers:get("x-envoy-retry-on")
      headers:replace("x-envoy-retry-on", on and (on .. ",reset") or "reset")
      headers:replace("x-envoy-retriable-header-names", "x-laneway-unreached")
    end
  end
  if lane then
    headers:replace(carrier.header, lane)
    if not string.find(lane, "[,;%s]") then
      local member = carrier.baggage .. "=" .. lane
      if rest and rest ~= "" then member = member .. "," .. rest end
      if member ~= baggage then headers:replace("baggage", member) end
    end
    if OUTBOUND then headers:replace("x-laneway-lane", lane) end
  end
  if OUTBOUND then handle:clearRouteCache() end
end
