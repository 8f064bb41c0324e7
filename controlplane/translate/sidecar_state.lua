
-- Sidecar, where lanes go by trace: `tracestate` is a third carrier, and calls that lost their lane take that of the
-- request with the same trace that came in before. What does the rest reads and sets the other carriers.
local STATE = "laneway"
local MEMBERS = 32 -- https://www.w3.org/TR/trace-context/: agents drop a longer list

-- The carrier's header and the lane that it names.
local function named(headers)
  for _, carrier in ipairs(CARRIERS) do
    local lane = headers:get(carrier.header)
    if lane and lane ~= "" then return carrier.header, lane end
  end
  if DEFAULT then
    local lane = headers:get(DEFAULT.header)
    if lane and lane ~= "" then return DEFAULT.header, lane end
  end
end

local function in_baggage(headers)
  local baggage = headers:get("baggage")
  if not baggage then return false end
  local _, _, lanes = read_baggage(baggage)
  for _, carrier in ipairs(CARRIERS) do
    if lanes[carrier.baggage] then return true end
  end
  return false
end

-- The lane in `tracestate`, and the other members. It means nothing without `traceparent`.
local function stated(headers)
  local others, lane = {}, nil
  if not headers:get("traceparent") then return nil, others end
  for member in string.gmatch(headers:get("tracestate") or "", "[^,]+") do
    if canonical(string.match(member, "^[^=;]*")) ~= STATE then
      others[#others + 1] = member
    else
      lane = lane or string.match(member, "=%s*([^;%s]+)")
    end
  end
  return lane, others
end

local function set_state(headers, lane)
  local state = headers:get("tracestate")
  local _, others = stated(headers)
  local wanted = STATE .. "=" .. lane
  if others[1] then wanted = wanted .. "," .. table.concat(others, ",", 1, math.min(#others, MEMBERS - 1)) end
  if wanted ~= state or headers:getNumValues("tracestate") > 1 then
    headers:remove("tracestate")
    headers:add("tracestate", wanted)
  end
end

-- What this request has in none of the other carriers.
local function found(handle, headers)
  local seen = OUTBOUND and recall(handle, headers)
  local header, remembered = string.match(seen or "", "^([^=]*)=(.*)$")
  local lane = stated(headers) or remembered
  if not lane then return end
  for _, carrier in ipairs(CARRIERS) do
    if lane == remembered and carrier.header == header then return header, lane end
  end
  return CARRIERS[1].header, lane
end

local read_carriers = envoy_on_request
function envoy_on_request(handle)
  local headers = handle:headers()
  if not named(headers) and not in_baggage(headers) then
    local header, lane = found(handle, headers)
    if lane then
      headers:replace(header, lane)
      handle:stats():counter("laneway_lanes_by_trace"):inc()
    end
  end
  read_carriers(handle)
  local header, lane = named(headers)
  if not OUTBOUND then remember(handle, headers, lane and header .. "=" .. lane or "") end
  if lane and headers:get("traceparent") and not string.find(lane, "[,;=%s]") then set_state(headers, lane) end
end
