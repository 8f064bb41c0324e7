-- Edge: takes every lane that a client sent, and lifts the query parameters and cookies that rules name into headers
-- that the route matchers read. Runs only for requests that have one of these, see gates.py. The listener has taken
-- the client's x-envoy-* and x-laneway-* before.
local function decode(text)
  if string.find(text, "[+%%]") then
    text = string.gsub(text, "%+", " ")
    text = string.gsub(text, "%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  end
  return text
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if FOREIGN then
    for key, _ in pairs(FOREIGN) do headers:remove(key) end
  end

  local named = headers:get(HEADER)
  local lane = named
  local baggage = headers:get("baggage")
  if baggage then
    local changed = #baggage > LIMIT
    if changed then
      baggage = string.match(string.sub(baggage, 1, LIMIT + 1), "^(.*),") or ""
      handle:streamInfo():dynamicMetadata():set("laneway", "cut", true)
    end
    local members, names, lanes = read_baggage(baggage)
    local others = {}
    for index, member in ipairs(members) do
      if not names[index] then
        others[#others + 1] = member
      elseif names[index] ~= MEMBER or not TRUST then -- another gateway's too: sidecars read it
        changed = true
      end
    end
    local member = lanes[MEMBER]
    if lane == nil or lane == "" then lane = member end
    local rest = beside(others, MEMBER)
    if rest ~= "" then headers:replace("x-laneway-rest", "," .. rest) end
    if changed then
      headers:remove("baggage")
      if TRUST and member then table.insert(others, 1, MEMBER .. "=" .. member) end
      if others[1] then headers:add("baggage", table.concat(others, ",")) end
    end
  end
  if named and (named == "" or not TRUST) then headers:remove(HEADER) end
  if TRUST and lane and lane ~= "" then headers:replace("x-laneway-lane", lane) end

  local path = headers:get(":path")
  if path then
    local mark = string.find(path, "?", 1, true)
    local hidden = string.find(path, "/%.%.?;") -- what Envoy's normalising leaves of `%2e%2e;`: servers go up there
    if hidden and hidden < (mark or math.huge) then
      handle:respond({[":status"] = "400", ["content-type"] = "application/problem+json"},
        '{"type":"about:blank","title":"Bad path","status":400,"detail":"The path hides a dot segment behind parameters."}')
    end
    headers:replace("x-laneway-path", mark and string.sub(path, 1, mark - 1) or path)
    if mark then
      if QUERIES then
        local seen = {}
        for pair in string.gmatch(string.sub(path, mark + 1), "[^&]+") do
          local equal = string.find(pair, "=", 1, true)
          local name = decode(equal and string.sub(pair, 1, equal - 1) or pair)
          local lifted = QUERIES[name]
          if lifted and not seen[name] then
            seen[name] = true
            headers:replace(lifted, decode(equal and string.sub(pair, equal + 1) or ""))
          end
        end
      end
    end
  end

  if ASKED_HOST then -- the twin of asked_host in plan/hosts.py; Envoy has taken a dot at the end
    local host = string.lower(headers:get(":authority") or "")
    host = string.match(host, "^([^:]*):%d+$") or string.match(host, "^(.*%]):%d+$") or host
    headers:replace(ASKED_HOST, host)
  end

  local cookies = headers:get("cookie")
  local lines = cookies and headers:getNumValues("cookie") or 0
  if lines > 1 then -- HTTP/1 lines are joined with a comma otherwise, which a cookie may hold
    local list = {}
    for index = 0, lines - 1 do list[#list + 1] = headers:getAtIndex("cookie", index) end
    cookies = table.concat(list, "; ")
    headers:replace("cookie", cookies)
  end
  if COOKIES then
    local seen = {}
    if cookies then
      for pair in string.gmatch(cookies, "[^;]+") do
        local name, value = string.match(pair, "^%s*([^=]-)%s*=%s*(.-)%s*$")
        local lifted = name and COOKIES[name]
        if lifted and not seen[name] then
          seen[name] = true
          headers:replace(lifted, value)
        end
      end
    end
    for note, cookie in pairs(STICKY) do
      if not seen[cookie.name] then
        local id = headers:get("x-request-id") or ""
        handle:streamInfo():dynamicMetadata():set("laneway", note, cookie.name .. "=" .. id .. "; " .. cookie.rest)
      end
    end
  end

  headers:replace("x-laneway-phase", "lifted")
  handle:clearRouteCache()
end
