import { script } from "./redis-link.ts";

// A value is kept as "<epoch>|<version>|<json>", the right to fill one as "<epoch>?<token>"; an epoch and a token have none of these signs.

/** KEYS epoch; ARGV new epoch. Makes everything unusable that was kept under this tag. */
export const renewScript = script(`
redis.call('SET', KEYS[1], ARGV[1])
return 1`);

// An epoch that was evicted or flushed comes again as another one, so that what outlived it is not used.
const epochOf = `
local epoch = redis.call('GET', KEYS[1])
if not epoch then
  local time = redis.call('TIME')
  epoch = time[1] .. '.' .. time[2]
  redis.call('SET', KEYS[1], epoch)
end`;

/** KEYS epoch, value; ARGV version, json, ttl. */
export const setScript = script(`${epochOf}
redis.call('SET', KEYS[2], epoch .. '|' .. ARGV[1] .. '|' .. ARGV[2], 'PX', ARGV[3])
return 1`);

/** KEYS epoch, value; ARGV token, ttl. Gives the epoch, and what is kept: the value, or who may fill it. */
export const leaseScript = script(`${epochOf}
local kept = redis.call('GET', KEYS[2])
local sign = kept and string.sub(kept, 1, #epoch) == epoch and string.sub(kept, #epoch + 1, #epoch + 1)
if sign == '|' or sign == '?' then return { epoch, kept } end
local lease = epoch .. '?' .. ARGV[1]
redis.call('SET', KEYS[2], lease, 'PX', ARGV[2])
return { epoch, lease }`);

/** KEYS epoch, value; ARGV lease, version, json, ttl. Fills the value for those who still have the right to; gives the epoch, and what is kept else. */
export const fillScript = script(`
local epoch = redis.call('GET', KEYS[1])
local kept = redis.call('GET', KEYS[2])
if not epoch or kept ~= ARGV[1] or string.sub(kept, 1, #epoch + 1) ~= epoch .. '?' then return { epoch, kept } end
redis.call('SET', KEYS[2], epoch .. '|' .. ARGV[2] .. '|' .. ARGV[3], 'PX', ARGV[4])
return { epoch, false }`);

/** KEYS epoch, values; ARGV ttl, then of each value its version and json. */
export const replaceOlderScript = script(`
local epoch = redis.call('GET', KEYS[1])
for nth = 2, #KEYS do
  local kept = redis.call('GET', KEYS[nth])
  if kept then
    local version = epoch and string.sub(kept, 1, #epoch + 1) == epoch .. '|' and string.match(kept, '^(%d+)|', #epoch + 2)
    if not version then redis.call('DEL', KEYS[nth])
    elseif tonumber(version) < tonumber(ARGV[2 * nth - 2]) then
      redis.call('SET', KEYS[nth], epoch .. '|' .. ARGV[2 * nth - 2] .. '|' .. ARGV[2 * nth - 1], 'PX', ARGV[1])
    end
  end
end
return 1`);

/** KEYS counter; ARGV by, ttl. Gives the count and what is left of its life. */
export const incrementScript = script(`
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = tonumber(ARGV[2])
  redis.call('PEXPIRE', KEYS[1], left)
end
return { count, left }`);

/**
 * KEYS lock, fence; ARGV ttl, the fence's ttl. Gives the fence, which is the owner's token too, or nil. It is the time in microseconds or one
 * more than the last, so that it rises over the lock's expiry and over a flush as well.
 */
export const lockScript = script(`
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local time = redis.call('TIME')
local fence = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[2], fence, 'PX', ARGV[2])
redis.call('SET', KEYS[1], fence, 'PX', ARGV[1])
return fence`);

/** KEYS lock; ARGV fence. */
export const releaseScript = script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`);
