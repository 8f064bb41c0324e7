-- Which lane a trace has, in memory that all listeners and workers of this Envoy share: each runs this code in a Lua
-- state of its own, and states share nothing. Stands before the code of a sidecar.
local ffi = require("ffi")
local C = ffi.C
local REGION = "laneway-traces-1" -- its number changes with the layout
local SETS, WAYS = 4096, 8 -- places for 32,768 identifiers
local KEPT = 60 -- seconds after a trace was last seen
local LONGEST_KEY, LONGEST_LANE = 128, 120 -- bytes
local EMPTY, ONE, DISPUTED = 0, 1, 2

ffi.cdef(string.format([[
  typedef struct { double seen; uint8_t state, key_size, lane_size; char key[%d], lane[%d]; } laneway_trace;
  typedef struct { uint64_t lock[8]; laneway_trace places[%d]; } laneway_traces;
  typedef struct { long seconds, nanoseconds; } laneway_time;
  int memfd_create(const char *, unsigned int);
  int ftruncate(int, long);
  void *mmap(void *, size_t, int, int, int, long);
  int close(int);
  int memcmp(const void *, const void *, size_t);
  int pthread_mutex_lock(void *);
  int pthread_mutex_unlock(void *);
  int clock_gettime(int, laneway_time *);
]], LONGEST_KEY, LONGEST_LANE, SETS * WAYS))

local function existing()
  for line in io.lines("/proc/self/maps") do
    local start = string.match(line, "^(%x+)%-%x+ rw%-s .*/memfd:" .. string.gsub(REGION, "%-", "%%-"))
    if start then return ffi.cast("void *", ffi.cast("uintptr_t", tonumber(start, 16))) end
  end
end

-- Envoy loads code in its main thread first, and only there one after the other: the region is made once.
local function region()
  local found = existing()
  if not found then
    local file = C.memfd_create(REGION, 0)
    if file < 0 then error("memfd_create failed") end
    local size = ffi.sizeof("laneway_traces")
    local failed = C.ftruncate(file, size) ~= 0
    found = not failed and C.mmap(nil, size, 3, 1, file, 0) -- readable and writable, shared
    C.close(file)
    if failed or found == ffi.cast("void *", -1) then error("no memory for traces") end
  end
  return ffi.cast("laneway_traces *", found)
end

local usable, traces = pcall(region)
local reported = false
local clock = ffi.new("laneway_time")
local seed = usable and tonumber(ffi.cast("uintptr_t", traces) / 4096 % 2147483647)

local function now()
  C.clock_gettime(1, clock) -- since the machine started: nobody sets it
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

local function hash(key)
  local value = seed
  for index = 1, #key do
    value = bit.tobit(value + string.byte(key, index))
    value = bit.tobit(value + bit.lshift(value, 10))
    value = bit.bxor(value, bit.rshift(value, 6))
  end
  value = bit.tobit(value + bit.lshift(value, 3))
  return bit.bxor(value, bit.rshift(value, 11))
end

-- The place of `key`, and whether it is there; else the place that was used least lately.
local function place(key, time)
  local first = bit.band(hash(key), SETS - 1) * WAYS
  local oldest, age = nil, -1
  for index = first, first + WAYS - 1 do
    local at = traces.places[index]
    local unused = at.state == EMPTY and math.huge or time - at.seen
    if unused <= KEPT and at.key_size == #key and C.memcmp(at.key, key, #key) == 0 then return at, true end
    if unused > age then oldest, age = at, unused end
  end
  return oldest, false
end

-- How many others had to be forgotten before their time.
local function put(keys, lane)
  local time, forgotten = now(), 0
  local size = #lane <= LONGEST_LANE and #lane or nil
  for _, key in ipairs(keys) do
    local at, known = place(key, time)
    if not known then
      if at.state ~= EMPTY and time - at.seen <= KEPT then forgotten = forgotten + 1 end
      at.state, at.key_size, at.lane_size = EMPTY, #key, size or 0
      ffi.copy(at.key, key, #key)
      ffi.copy(at.lane, lane, at.lane_size)
      at.state = size and ONE or DISPUTED
    elseif at.lane_size ~= size or C.memcmp(at.lane, lane, size) ~= 0 then
      at.state = DISPUTED
    end
    at.seen = time
  end
  return forgotten
end

local function get(keys)
  local time = now()
  local lane = nil
  for _, key in ipairs(keys) do
    local at, known = place(key, time)
    if known then
      local seen = at.state == ONE and ffi.string(at.lane, at.lane_size)
      if not seen or (lane and seen ~= lane) then return "" end
      lane = seen
    end
  end
  return lane
end

-- What `action` finds. Whatever happens in it, the lock is let go: the other workers wait for it.
local function locked(action, keys, lane)
  C.pthread_mutex_lock(traces.lock)
  local done, found = pcall(action, keys, lane)
  C.pthread_mutex_unlock(traces.lock)
  return done and found or nil
end

-- The lower 64 bits of a trace's number: some agents pass on no more of it.
local function number(text)
  if not text or #text > 32 then return end
  local low = string.lower(string.sub(string.rep("0", 15) .. text, -16))
  return string.find(low, "[^0]") and "t" .. low or nil
end

-- What names the trace of a request; several lines of a header name none.
local function identifiers(headers)
  local keys, known = {}, {}
  local function add(key)
    if key and #key <= LONGEST_KEY and not known[key] then
      keys[#keys + 1], known[key] = key, true
    end
  end
  local function one(name)
    local value = headers:get(name)
    return value and not string.find(value, ",", 1, true) and value or ""
  end
  add(number(string.match(one("traceparent"), "^%x%x%-(" .. string.rep("%x", 32) .. ")%-%x+%-%x%x")))
  add(number(string.match(one("b3"), "^(%x+)%-%x+")))
  add(number(string.match(one("x-b3-traceid"), "^(%x+)$")))
  add(number(string.match(string.gsub(one("uber-trace-id"), "%%3[Aa]", ":"), "^(%x+):%x+:")))
  local skywalking = string.match(one("sw8"), "^[01]%-([^-]+)%-")
  if skywalking then add("s" .. skywalking) end
  local request = one("x-request-id")
  if request ~= "" then add("r" .. request) end
  return keys
end

local function ready(handle)
  if not usable and not reported then
    handle:logErr("laneway: this Envoy cannot remember the lanes of traces: " .. tostring(traces))
    reported = true
  end
  return usable
end

-- `lane` is "" for a request without one. A trace that is seen with two is remembered as neither.
local function remember(handle, headers, lane)
  local forgotten = ready(handle) and locked(put, identifiers(headers), lane) or 0
  if forgotten > 0 then handle:stats():counter("laneway_traces_forgotten"):add(forgotten) end
end

-- The lane of the trace; nil where there is none, or its identifiers disagree.
local function recall(handle, headers)
  local lane = ready(handle) and locked(get, identifiers(headers))
  return lane ~= "" and lane or nil
end
