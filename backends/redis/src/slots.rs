//! Which part of a Cluster keeps a key.

use crc::{CRC_16_XMODEM, Crc};
use redis::Value;
use steadfast_backend::Key;

use crate::config::Address;
use crate::error::{Fault, nonsense};

/// The slot of a key: the checksum of its hash tag, as the Redis Cluster specification has it.
pub(crate) fn slot(key: &Key) -> u16 {
    const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);
    // A key has exactly one pair of braces, around its group, which is never empty.
    CRC.checksum(key.group().as_bytes()) % 16_384
}

/// A range of slots, and the primary that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) primary: Address,
}

/// The answer to `CLUSTER SLOTS`. A server that does not know its own name leaves it out: it is
/// `asked` then.
pub(crate) fn ranges(answer: Value, asked: &str) -> Result<Vec<Range>, Fault> {
    let Value::Array(ranges) = answer else { return Err(nonsense()) };
    let mut ranges: Vec<_> =
        ranges.into_iter().map(|range| one(range, asked)).collect::<Result<_, _>>()?;
    ranges.sort_by_key(|range| range.first);
    Ok(ranges)
}

fn one(range: Value, asked: &str) -> Result<Range, Fault> {
    let Value::Array(parts) = range else { return Err(nonsense()) };
    let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &parts[..] else {
        return Err(nonsense());
    };
    let [host, Value::Int(port), ..] = &primary[..] else { return Err(nonsense()) };
    let host = match host {
        Value::BulkString(host) if !matches!(&host[..], b"" | b"?") => {
            String::from_utf8_lossy(host).into_owned()
        }
        _ => asked.to_owned(),
    };
    let slot = |slot: &i64| u16::try_from(*slot).map_err(|_range| nonsense());
    let port = u16::try_from(*port).map_err(|_range| nonsense())?;
    Ok(Range { first: slot(first)?, last: slot(last)?, primary: Address::tcp(host, port) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_backend::{Group, Namespace};

    #[test]
    fn slots_are_those_of_the_specification() {
        // As `CLUSTER KEYSLOT` answers.
        for (group, expected) in [("123456789", 12_739), ("foo", 12_182), ("user1000", 3_443)] {
            let (namespace, group) = (Namespace::new("n").unwrap(), Group::new(group).unwrap());
            assert_eq!(slot(&Key::new(&namespace, &group, "name").unwrap()), expected);
        }
    }

    #[test]
    fn ranges_are_read_and_a_missing_host_is_the_one_that_was_asked() {
        let server =
            |host: &str, port| Value::Array(vec![Value::BulkString(host.into()), Value::Int(port)]);
        let range =
            |first, last, server| Value::Array(vec![Value::Int(first), Value::Int(last), server]);
        let answer = Value::Array(vec![
            range(8_192, 16_383, server("b", 2)),
            range(0, 8_191, server("", 1)),
        ]);
        let found = ranges(answer, "asked").unwrap();
        assert_eq!(found[0].primary, Address::tcp("asked", 1));
        assert_eq!((found[1].first, found[1].last), (8_192, 16_383));
        assert!(ranges(Value::Okay, "asked").is_err());
    }
}
