-- Sidecar: reads the lane from either carrier and sets both; outbound, also the header that routes match. Runs only
-- where the carriers are not known to agree, see gates.py.
function envoy_on_request(handle)
  local headers = handle:headers()
  local baggage = headers:get("baggage")
  local lane, carrier = nil, nil
  for _, candidate in ipairs(CARRIERS) do
    local value = headers:get(candidate.header)
    if value and value ~= "" then
      lane, carrier = value, candidate
      break
    end
  end
  local members, names, lanes = {}, {}, {}
  if baggage then members, names, lanes = read_baggage(baggage) end
  if carrier == nil then
    for _, candidate in ipairs(CARRIERS) do
      if lanes[candidate.baggage] then
        lane, carrier = lanes[candidate.baggage], candidate
        break
      end
    end
  end
  if lane == nil and DEFAULT then lane, carrier = DEFAULT.lane, DEFAULT end
  if lane then
    headers:replace(carrier.header, lane)
    if not string.find(lane, "[,;%s]") then
      local others = {}
      for index, member in ipairs(members) do
        if names[index] ~= carrier.baggage then others[#others + 1] = member end
      end
      local rest = beside(others, carrier.baggage)
      local wanted = carrier.baggage .. "=" .. lane .. (rest ~= "" and "," .. rest or "")
      -- Some agents read the first of several lines alone.
      if wanted ~= baggage or headers:getNumValues("baggage") > 1 then
        headers:remove("baggage")
        headers:add("baggage", wanted)
      end
    end
    if OUTBOUND then headers:replace("x-laneway-lane", lane) end
  end
  if OUTBOUND then
    headers:replace("x-laneway-phase", "lifted")
    handle:clearRouteCache()
  end
end
