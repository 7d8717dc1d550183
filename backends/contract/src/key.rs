use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// The name of one entry: `namespace:{group}:name`, at most [`Key::MAX_LEN`] bytes of visible
/// ASCII.
///
/// The group is the unit of [`transact`](crate::Backend::transact): on Redis Cluster it is the
/// hash tag, so that all keys of one group live in one slot.
///
/// `Debug` shows the namespace and a digest, never the whole key, because names may identify a
/// person or a session.
///
/// ```
/// use steadfast_backend::{Group, Key, Namespace};
///
/// let key = Key::new(&Namespace::new("shop:v1:cart")?, &Group::new("alice")?, "current")?;
/// assert_eq!(key.as_str(), "shop:v1:cart:{alice}:current");
/// assert_eq!(key.group(), "alice");
/// assert!(format!("{key:?}").starts_with("shop:v1:cart:#"));
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    text: Arc<str>,
    /// Where the namespace ends; the group starts two bytes later, after `:{`.
    namespace_len: u8,
    group_len: u8,
}

impl Key {
    /// The longest key in bytes; Memcached allows 250, the rest is room for a backend's prefix.
    pub const MAX_LEN: usize = 200;

    /// Joins a namespace, a group and a name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if `name` is empty or has other characters than visible ASCII
    /// without `{` and `}`, or if the whole key is longer than [`Key::MAX_LEN`].
    pub fn new(namespace: &Namespace, group: &Group, name: &str) -> Result<Self> {
        check("key name", name, Self::MAX_LEN, VISIBLE)?;
        let text = format!("{}:{{{}}}:{name}", namespace.0, group.0);
        if text.len() > Self::MAX_LEN {
            let detail = format!(
                "a key may have {} bytes and this one has {}; shorten the name or hash it",
                Self::MAX_LEN,
                text.len()
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let (namespace_len, group_len) = (short(&namespace.0), short(&group.0));
        Ok(Self { text: text.into(), namespace_len, group_len })
    }

    /// Reads back a key from its text, as a store returns it from a scan.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the text is not of the form `namespace:{group}:name`.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = text.split_once(":{").and_then(|(namespace, rest)| {
            let (group, name) = rest.split_once("}:")?;
            Some((namespace, group, name))
        });
        let Some((namespace, group, name)) = parts else {
            let detail = "a key has the form namespace:{group}:name; this text has not";
            return Err(Error::new(ErrorKind::Invalid, detail));
        };
        Self::new(&Namespace::new(namespace)?, &Group::new(group)?, name)
    }

    /// The whole key as the store sees it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the group.
    pub fn namespace(&self) -> &str {
        &self.text[..usize::from(self.namespace_len)]
    }

    /// The group: what stands between the braces.
    pub fn group(&self) -> &str {
        let start = usize::from(self.namespace_len) + 2;
        &self.text[start..start + usize::from(self.group_len)]
    }

    /// The part after the group.
    pub fn name(&self) -> &str {
        &self.text[usize::from(self.namespace_len) + usize::from(self.group_len) + 4..]
    }

    /// Eight hex digits that stand for this key in logs and errors (FNV-1a, not secret-proof
    /// against guessing, but free of the name itself).
    pub fn digest(&self) -> String {
        let hash = self
            .text
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        format!("{hash:08x}")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:#{}", self.namespace(), self.digest())
    }
}

/// The first part of a key: who owns it. Segments are separated by `:`.
///
/// ```
/// use steadfast_backend::Namespace;
///
/// let shop = Namespace::new("shop")?;
/// assert_eq!(shop.child("session")?.as_str(), "shop:session");
/// assert!(Namespace::new("no spaces").is_err());
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The longest namespace in bytes.
    pub const MAX_LEN: usize = 64;

    /// Takes 1 to 64 characters of `[A-Za-z0-9._:-]`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        check("namespace", text, Self::MAX_LEN, ("letters, digits and ._:-", is_allowed))?;
        Ok(Self(text.into()))
    }

    /// The namespace one segment below.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] as for [`Namespace::new`].
    pub fn child(&self, segment: &str) -> Result<Self> {
        Self::new(&format!("{}:{segment}", self.0))
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for keys of this namespace and of those below it.
    pub fn contains(&self, key: &Key) -> bool {
        let rest = key.as_str().strip_prefix(self.as_str());
        rest.is_some_and(|rest| rest.starts_with(':'))
    }
}

/// The part of a key that decides which keys can change together.
///
/// ```
/// use steadfast_backend::Group;
///
/// assert_eq!(Group::new("alice@example.org")?.as_str(), "alice@example.org");
/// assert!(Group::new("{alice}").is_err());
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group(Arc<str>);

impl Group {
    /// The longest group in bytes.
    pub const MAX_LEN: usize = 64;

    /// Takes 1 to 64 characters of visible ASCII without `{` and `}`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for anything else.
    pub fn new(text: &str) -> Result<Self> {
        check("key group", text, Self::MAX_LEN, VISIBLE)?;
        Ok(Self(text.into()))
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const VISIBLE: (&str, fn(u8) -> bool) = ("visible ASCII without braces, or hash it", is_visible);

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'{' && byte != b'}'
}

fn check(
    what: &str,
    text: &str,
    len_max: usize,
    (allowed, is_allowed): (&str, impl Fn(u8) -> bool),
) -> Result<()> {
    if text.is_empty() || text.len() > len_max {
        let detail = format!("a {what} has 1 to {len_max} bytes; this one has {}", text.len());
        return Err(Error::new(ErrorKind::Invalid, detail));
    }
    match text.bytes().position(|byte| !is_allowed(byte)) {
        None => Ok(()),
        Some(at) => {
            let detail = format!("byte {at} of the {what} is not allowed; use {allowed}");
            Err(Error::new(ErrorKind::Invalid, detail))
        }
    }
}

/// Lengths are at most 64 here, so the cast cannot lose anything.
fn short(text: &str) -> u8 {
    u8::try_from(text.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, group: &str, name: &str) -> Result<Key> {
        Key::new(&Namespace::new(namespace)?, &Group::new(group)?, name)
    }

    #[test]
    fn parts_come_back_and_parse_is_the_inverse() {
        let key = key("a:b", "g", "n:m").unwrap();
        assert_eq!((key.namespace(), key.group(), key.name()), ("a:b", "g", "n:m"));
        assert_eq!(Key::parse(key.as_str()).unwrap(), key);
    }

    #[test]
    fn bad_keys_are_refused_with_a_reason() {
        let long = "n".repeat(Key::MAX_LEN);
        for (namespace, group, name) in [
            ("", "g", "n"),
            ("a", "", "n"),
            ("a", "g", ""),
            ("a b", "g", "n"),
            ("a", "g}", "n"),
            ("a", "g", "n\n"),
            ("a", "g", "né"),
            ("a", "g", &long),
        ] {
            let error = key(namespace, group, name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{namespace}|{group}|{name}");
        }
        for text in ["", "a", "a:{g}", "a:{g:n", "{g}:n", "a:{}:n", "a:{g}:"] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn namespaces_contain_whole_segments_only() {
        let shop = Namespace::new("shop").unwrap();
        assert!(shop.contains(&key("shop", "g", "n").unwrap()));
        assert!(shop.contains(&key("shop:v1", "g", "n").unwrap()));
        assert!(!shop.contains(&key("shopping", "g", "n").unwrap()));
    }
}
