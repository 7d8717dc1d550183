//! Values that say where they belong.

use steadfast_backend::{Entry, Key};

use super::operation::{Seen, Value};

/// The bytes of a value: the key's name, the number, and a length of its own, so that an answer
/// that was cut, torn or sent to another question shows.
pub(super) fn value(key: &Key, value: Value) -> Vec<u8> {
    let mut bytes = format!("{} {value:016x} ", key.name()).into_bytes();
    let more = match value % 64 {
        0 => 8 << 10,
        more => usize::try_from(more).unwrap_or(0),
    };
    let filler = b'a' + u8::try_from(value % 26).unwrap_or(0);
    bytes.resize(bytes.len() + more, filler);
    bytes
}

/// What an entry shows; the value 0, which nobody puts, if its bytes are not of this key.
pub(super) fn seen(key: &Key, entry: &Entry) -> Seen {
    Seen { value: read(key, &entry.value).unwrap_or(0), version: entry.version }
}

fn read(key: &Key, bytes: &[u8]) -> Option<Value> {
    let after = bytes.strip_prefix(key.name().as_bytes())?.strip_prefix(b" ")?;
    let number = std::str::from_utf8(after.get(..16)?).ok()?;
    let number = Value::from_str_radix(number, 16).ok()?;
    (value(key, number) == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use steadfast_backend::{Group, Namespace};

    use super::*;

    #[test]
    fn only_a_whole_value_of_this_key_is_read() {
        let key = |name| {
            Key::new(&Namespace::new("n").unwrap(), &Group::new("g").unwrap(), name).unwrap()
        };
        for number in [1, 63, 64, u64::MAX] {
            let bytes = value(&key("a"), number);
            assert_eq!(read(&key("a"), &bytes), Some(number));
            assert_eq!(read(&key("b"), &bytes), None);
            assert_eq!(read(&key("a"), &bytes[..bytes.len() - 1]), None);
            assert_eq!(read(&key("a"), &[&bytes[..], b"z"].concat()), None);
        }
    }
}
