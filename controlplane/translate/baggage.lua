-- The members of `baggage` (https://www.w3.org/TR/baggage/), read as tracing agents read them. Stands before the code
-- of an edge and of a sidecar. Every step costs in proportion to the bytes, whatever they are.
local LIMIT = 8192 -- bytes: agents drop what is longer, or its end
local LONGEST = 63 -- a lane's name
local VISIBLE = "[^%z\1-\32\127-\160\173]" -- no white space, control or soft hyphen of ASCII and Latin-1
local WIDE = { -- white space and marks without a width in UTF-8: U+0080-A0, AD, 61C, 1680, 180E, 2000-200F, 2028-202F,
  "\194[\128-\160\173]", "\216\156", "\225\154\128", "\225\160\142", "\226\128[\128-\143\168-\175]",
  "\226\129[\159-\175]", "\227\128\128", "\239\187\191", "\239\191[\185-\187]", -- 205F-206F, 3000, FEFF, FFF9-FFFB
}
local HEX = {}
for value = 0, 15 do
  local digit = string.format("%x", value)
  HEX[string.byte(digit)], HEX[string.byte(string.upper(digit))] = value, value
end

-- Percent-decoded until nothing changes: what a byte completes is decoded at once, so each is looked at once.
local function decoded(name)
  local bytes, size = {}, 0
  for index = 1, #name do
    size = size + 1
    bytes[size] = string.byte(name, index)
    while size > 2 and bytes[size - 2] == 37 and HEX[bytes[size - 1]] and HEX[bytes[size]] do
      bytes[size - 2] = HEX[bytes[size - 1]] * 16 + HEX[bytes[size]]
      size = size - 2
    end
  end
  for index = 1, size do bytes[index] = string.char(bytes[index]) end
  return table.concat(bytes, "", 1, size)
end

-- `text` without what does not match `class`, a set of single bytes, at both ends.
local function trimmed(text, class)
  local first = string.find(text, class)
  if not first then return "" end
  return string.sub(text, first, #text + 1 - string.find(string.reverse(text), class))
end

-- What a name is after any number of agents: decoded, `+` is a space, without blanks around it.
local function canonical(name)
  if not string.find(name, "[%%+%c \127-\255]") then return name end
  if string.find(name, "%", 1, true) then name = decoded(name) end
  name = string.gsub(name, "%+", " ")
  if string.find(name, "[\194\216\225-\227\239]") then
    for _, wide in ipairs(WIDE) do name = string.gsub(name, wide, " ") end
  end
  return trimmed(name, VISIBLE)
end

local shortest = LIMIT
for name, _ in pairs(NAMES) do shortest = math.min(shortest, #name) end

-- The name in NAMES that some agent takes `name` for.
local function known(name)
  if #name >= shortest then return NAMES[canonical(name)] end
end

-- The name in NAMES that some agent reads in `member`, and what stands behind its `=`.
local function carried(member)
  if #member < shortest then return end
  local name, from = string.match(member, "^[ \t]*([%w!#$&'*.^_`|~-]+)[ \t]*=()")
  if name then
    if NAMES[name] then return NAMES[name], string.sub(member, from) end
  else
    local before = string.match(member, "^[^=;]*")
    local own = known(before)
    if own then return own, string.match(member, "^=(.*)", #before + 1) end
    -- OpenTelemetry for Java passes over `;` before a name, and after a name and a blank.
    name, from = string.match(member, "^([^=]*)=?()")
    own = name ~= before and known(trimmed(name, "[^; \t]"))
    if own then return own, string.sub(member, from) end
  end
  -- Micrometer's bridge to Brave, in Spring Boot 3, reads `a=1=b=2` as two members, up to a `;` that is not the first.
  local equal = string.find(member, "=", from, true)
  if not equal then return end
  if not string.find(member, "^[ \t]*;") then member = string.match(member, "^[^;]*") end
  while equal do
    local next = string.find(member, "=", equal + 1, true)
    local own = next and known(string.sub(member, equal + 1, next - 1))
    if own then return own, string.sub(member, next + 1) end
    equal = next and string.find(member, "=", next + 1, true)
  end
end

-- All members but empty ones; by their place the name in NAMES that each has; by name the lane that came last.
local function read_baggage(baggage)
  local members, names, lanes = {}, {}, {}
  for member in string.gmatch(baggage, "[^,]+") do
    if string.find(member, "%S") then
      members[#members + 1] = member
      local name, value = carried(member)
      names[#members] = name
      if value then lanes[name] = string.match(value, "^%s*([^;%s]+)") or lanes[name] end
    end
  end
  return members, names, lanes
end

-- The most bytes that an agent may write for members: all but letters, digits and `-._~` escaped, an escape that is no
-- UTF-8 replaced by U+FFFD, a raw byte taken for Latin-1.
local function weight(members)
  local _, odd = string.gsub(members, "[^%w._~,-]", "")
  local _, escapes = string.gsub(members, "%%%x%x", "")
  local _, high = string.gsub(members, "%%[89A-Fa-f]%x", "")
  local _, raw = string.gsub(members, "[\128-\255]", "")
  return #members + 2 * (odd - escapes) + 6 * high + 3 * raw
end

-- The first of `members` that agents still write beside the lane: they sort, and what comes last may not fit.
local function beside(members, name)
  local room, count = LIMIT - 3 * #name - 2 - LONGEST, 0
  local left = room
  while count < #members and left > 0 do
    count = count + 1
    left = left - #members[count] - 1
  end
  local rest = table.concat(members, ",", 1, count)
  local excess = 7 * #rest > room and weight(rest) - room or 0 -- no byte weighs more than seven
  if excess <= 0 then return rest end
  while excess > 0 and count > 0 do
    excess = excess - weight(members[count]) - 1
    count = count - 1
  end
  return table.concat(members, ",", 1, count)
end
