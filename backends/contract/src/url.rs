use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::{Error, ErrorKind, Result, Start};

/// A store's URL, taken apart: `scheme://[user[:password]@]host[:port][,…][/path][?name=value&…]`,
/// or `scheme:PATH[?…]` for a local store. `%` and two hex digits stand for a byte, but not in
/// hosts.
///
/// Neither `Debug` nor an error shows the user, the password, the path, or the value of an option.
///
/// ```
/// use steadfast_backend::StoreUrl;
///
/// let mut url: StoreUrl = "redis://user:a%2Fb@cache-1,cache-2:7000/3?lanes=4".parse()?;
/// assert_eq!(url.password(), Some("a/b"));
/// assert_eq!(url.servers(6379)?, [("cache-1".to_owned(), 6379), ("cache-2".to_owned(), 7000)]);
/// assert_eq!(url.path(), "/3");
/// assert_eq!(url.take_number("lanes", 1..=64)?, Some(4));
/// url.finish()?; // refuses an option that nobody took
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    scheme: String,
    /// `None` without `//`.
    authority: Option<Authority>,
    path: String,
    options: Vec<(String, String)>,
    /// The options that were asked for: those that are allowed.
    known: Vec<&'static str>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Authority {
    username: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, Option<u16>)>,
}

impl StoreUrl {
    /// What stands before the first colon, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user, if one is named.
    pub fn username(&self) -> Option<&str> {
        self.authority.as_ref()?.username.as_deref()
    }

    /// The password, if there is one: empty in `user:@host`.
    pub fn password(&self) -> Option<&str> {
        self.authority.as_ref()?.password.as_deref()
    }

    /// The servers, with this port where none is named.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there are none.
    pub fn servers(&self, port: u16) -> Result<Vec<(String, u16)>> {
        let hosts = self.authority.as_ref().map_or(&[][..], |authority| &authority.hosts);
        if hosts.is_empty() {
            let scheme = &self.scheme;
            return Err(wrong(format!("the store URL names no server; write {scheme}://HOST")));
        }
        Ok(hosts.iter().map(|(host, own)| (host.clone(), own.unwrap_or(port))).collect())
    }

    /// The path, from its slash on; where there is no `//`, all that stands before the options.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether there is neither a server nor a path.
    pub fn is_bare(&self) -> bool {
        self.authority.is_none() && self.path.is_empty()
    }

    /// The path of a store that is no server.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there is none, or something that looks like a server.
    pub fn local_path(&self) -> Result<&str> {
        // `redb://data/x` would be `/data/x`, which nobody means.
        if self.authority.is_some() || self.path.is_empty() {
            let scheme = &self.scheme;
            return Err(wrong(format!("a store URL of this kind has the form {scheme}:PATH")));
        }
        Ok(&self.path)
    }

    /// Takes out an option; from now on it is one that is allowed.
    pub fn take(&mut self, name: &'static str) -> Option<String> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let at = self.options.iter().position(|(given, _value)| given == name)?;
        Some(self.options.remove(at).1)
    }

    /// Takes out an option that `read` understands; `allowed` says what that is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it does not.
    pub fn take_as<T>(
        &mut self,
        name: &'static str,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let value = read(&value);
        value.map(Some).ok_or_else(|| wrong(format!("the option {name} is {allowed}")))
    }

    /// Takes out a number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is none, or out of range.
    pub fn take_number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        self.take_as(name, &allowed, |value| value.parse().ok().filter(|n| range.contains(n)))
    }

    /// Takes out a time such as `250ms`, `2s` or `1m`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is none, or not from a millisecond to an hour.
    pub fn take_time(&mut self, name: &'static str) -> Result<Option<Duration>> {
        self.take_as(name, "a time from 1ms to 60m, such as 250ms, 2s or 1m", |value| {
            let (number, unit) = number_and_unit(value)?;
            let unit_ms = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                _ => return None,
            };
            let ms = number.checked_mul(unit_ms)?;
            (1..=TIME_MS_MAX).contains(&ms).then(|| Duration::from_millis(ms))
        })
    }

    /// Takes out a number of bytes such as `512KiB`, `64MiB` or `2GiB`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if it is none, or not from 1 KiB to 1 TiB.
    pub fn take_bytes(&mut self, name: &'static str) -> Result<Option<u64>> {
        self.take_as(name, "a size from 1KiB to 1024GiB, such as 512KiB, 64MiB or 2GiB", |value| {
            let (number, unit) = number_and_unit(value)?;
            let unit_bytes = match unit {
                "KiB" => 1_u64 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                _ => return None,
            };
            let bytes = number.checked_mul(unit_bytes)?;
            (1 << 10..=1 << 40).contains(&bytes).then_some(bytes)
        })
    }

    /// Takes out when connecting returns: `wait=30s`, or `start=disconnected`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if one of them is something else, or both are given.
    pub fn take_start(&mut self) -> Result<Option<Start>> {
        let wait = self.take_time("wait")?.map(Start::Within);
        let start = self.take_as("start", "connected or disconnected", |value| match value {
            "connected" => Some(Start::Connected),
            "disconnected" => Some(Start::Disconnected),
            _ => None,
        })?;
        if wait.is_some() && start == Some(Start::Disconnected) {
            return Err(wrong("start=disconnected waits for nothing; leave the option wait out"));
        }
        Ok(wait.or(start))
    }

    /// Refuses the first option that nobody took.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], with the name, and those that are allowed.
    pub fn finish(self) -> Result<()> {
        let Some((name, _value)) = self.options.first() else { return Ok(()) };
        let (shown, scheme) = (shown(name), &self.scheme);
        let allowed = match &self.known[..] {
            [] => "no options".to_owned(),
            known => known.join(", "),
        };
        Err(wrong(format!("the store URL has {shown}; {scheme} takes {allowed}")))
    }
}

const TIME_MS_MAX: u64 = 3_600_000;

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let unit_at = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    Some((number.parse().ok()?, unit))
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let form = || wrong("a store URL has the form scheme://HOST or scheme:PATH");
        if text.trim() != text {
            return Err(wrong(
                "the store URL begins or ends with white space, such as the newline at the end of \
                 a file; take it out",
            ));
        }
        let (scheme, rest) = text.split_once(':').ok_or_else(form)?;
        let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(in_scheme) {
            return Err(form());
        }
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match place.strip_prefix("//") {
            None => (None, place),
            Some(place) => {
                let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
                // Or what comes before it is a part of the login, cut off by what it holds.
                if path.contains('@') || options.contains('@') {
                    return Err(wrong(ESCAPE));
                }
                (Some(Authority::parse(authority)?), path)
            }
        };
        let (scheme, path) = (scheme.to_ascii_lowercase(), parse_path(path)?);
        Ok(Self { scheme, authority, path, options: parse_options(options)?, known: Vec::new() })
    }
}

const ESCAPE: &str = "the store URL cannot be read; in a user name, a password, a path and an \
                      option, write % as %25, @ as %40, / as %2F, ? as %3F and & as %26";

impl Authority {
    fn parse(text: &str) -> Result<Self> {
        if text.contains(char::is_whitespace) {
            return Err(wrong(SPACE));
        }
        let (login, hosts) = match text.rsplit_once('@') {
            Some((login, hosts)) => (login, hosts),
            None => ("", text),
        };
        let (username, password) = match login.split_once(':') {
            // `user:@` has an empty password, and `:@` none: so it is where the variable that
            // should hold it is unset.
            Some((username, password)) => {
                (username, (!login.starts_with(':') || login.len() > 1).then_some(password))
            }
            None => (login, None),
        };
        let username = Some(decode(username)?).filter(|username| !username.is_empty());
        let hosts = match hosts {
            "" => Vec::new(),
            hosts => hosts.split(',').map(parse_host).collect::<Result<_>>()?,
        };
        Ok(Self { username, password: password.map(decode).transpose()?, hosts })
    }
}

/// A name with spaces is one; a file whose name ends with a newline is nobody's.
fn parse_path(text: &str) -> Result<String> {
    if text.chars().any(|char| char.is_whitespace() && char != ' ') {
        return Err(wrong(SPACE));
    }
    let path = decode(text)?;
    if path.trim() != path {
        let detail = "the path in the store URL begins or ends with white space; take it out";
        return Err(wrong(detail));
    }
    Ok(path)
}

const SPACE: &str = "the store URL has white space in it; take it out, or write it as %20 where it \
                     belongs to a password";

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn parse_host(text: &str) -> Result<(String, Option<u16>)> {
    let (host, port, punctuation) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(|| wrong(HOST))?;
        (host, port, ":.%")
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (host, port, "-._")
    };
    let in_host = |char: char| char.is_ascii_alphanumeric() || punctuation.contains(char);
    if host.is_empty() || !host.chars().all(in_host) {
        return Err(wrong(HOST));
    }
    let port = match port {
        "" => None,
        port => {
            let number = port.strip_prefix(':').and_then(|number| number.parse().ok());
            Some(number.filter(|number| *number > 0).ok_or_else(|| wrong(HOST))?)
        }
    };
    Ok((host.to_owned(), port))
}

const HOST: &str = "a server in the store URL is a name or an IP address (IPv6 in brackets), and \
                    perhaps a colon and a port from 1 to 65535; several are separated by commas";

fn parse_options(text: &str) -> Result<Vec<(String, String)>> {
    if text.contains(char::is_whitespace) {
        return Err(wrong(SPACE));
    }
    let mut options: Vec<(String, String)> = Vec::new();
    for option in text.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').ok_or_else(|| {
            wrong("an option of the store URL has no value; write it as name=value")
        })?;
        if options.iter().any(|(earlier, _value)| earlier == name) {
            return Err(wrong(format!("the store URL has {} twice; once is enough", shown(name))));
        }
        options.push((name.to_owned(), decode(value)?));
    }
    Ok(options)
}

/// What is not plainly the name of an option may be a part of a password.
fn shown(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(plain) {
        format!("the option {name}")
    } else {
        "an option".to_owned()
    }
}

fn decode(text: &str) -> Result<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let byte =
                digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            byte.ok_or_else(|| wrong(ESCAPE))?
        } else {
            byte
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).map_err(|_cause| wrong(ESCAPE))
}

fn wrong(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, detail)
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.authority.as_ref().map(|authority| &authority.hosts);
        f.debug_struct("StoreUrl")
            .field("scheme", &self.scheme)
            .field("hosts", &hosts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> StoreUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refusal(text: &str) -> String {
        let error = text.parse::<StoreUrl>().expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn each_part_is_found() {
        let url =
            parse("s+x://us%40er:p%3Aw%25@a,b-1.example_x:1,[::1]:65535,[fe80::1%eth0]/p%20q");
        assert_eq!((url.scheme(), url.path()), ("s+x", "/p q"));
        assert_eq!((url.username(), url.password()), (Some("us@er"), Some("p:w%")));
        let servers = url.servers(9).unwrap();
        let servers: Vec<_> = servers.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        let expected = [("a", 9), ("b-1.example_x", 1), ("::1", 65535), ("fe80::1%eth0", 9)];
        assert_eq!(servers, expected);
    }

    #[test]
    fn each_part_may_be_missing() {
        let bare = parse("s://h");
        assert_eq!((bare.username(), bare.password(), bare.path()), (None, None, ""));
        assert_eq!(parse("s://:word@h").username(), None);
        assert_eq!(parse("s://:word@h").password(), Some("word"));
        assert_eq!(parse("s://name@h").username(), Some("name"));
        assert_eq!(parse("s://:a:b@c@h").password(), Some("a:b@c"));
        assert_eq!(parse("s://:@h").password(), None);
        assert_eq!(parse("s://name@h").password(), None);
        assert_eq!(parse("s://name:@h").password(), Some(""));
        let socket = parse("s://user:word@/run/x.sock");
        assert_eq!((socket.path(), socket.password()), ("/run/x.sock", Some("word")));
        assert!(socket.servers(1).is_err());
        assert!(parse("s:h").servers(1).unwrap_err().to_string().contains("s://HOST"));
        parse("s:?").finish().unwrap();
        parse("s:?&&").finish().unwrap();
    }

    #[test]
    fn a_local_path_is_what_stands_there() {
        for (text, path) in
            [("s:./a/b", "./a/b"), ("s:/a@b,c", "/a@b,c"), ("s:C:\\x", "C:\\x"), ("s:a%3Fb", "a?b")]
        {
            assert_eq!(parse(text).local_path().unwrap(), path);
        }
        for text in ["s:", "s:?a=1", "s://a/b", "s:///a"] {
            let error = parse(text).local_path().unwrap_err();
            assert!(error.to_string().contains("s:PATH"), "{error}");
        }
    }

    #[test]
    fn the_case_of_a_scheme_does_not_matter() {
        assert_eq!(parse("REDIS://Host").scheme(), "redis");
        assert_eq!(parse("Redb:Path").path(), "Path");
    }

    #[test]
    fn white_space_is_refused_as_such_but_within_a_path() {
        assert_eq!(parse("s:my data/x y").path(), "my data/x y");
        assert_eq!(parse("s://u:a%20b%0A@h").password(), Some("a b\n"));
        for text in ["s:x\n", " s:x", "s:x ", "s:x\u{2003}", "s: x", "s:x%0A", "s:%20x", "s:x ?a=1"]
            .into_iter()
            .chain(["s:a\nb", "s:a\tb", "s://h?a=x\n", "s://h?a=x y", "s://h?a =x", "s://h\n/p"])
            .chain(["s://u:a b@h", "s://a b", "s://h/p\n?a=1", "\n", "s\n"])
        {
            assert!(refusal(text).contains("white space"), "{text:?}: {}", refusal(text));
        }
    }

    #[test]
    fn sizes_and_the_way_to_start_are_read() {
        let mut url = parse("s:?a=1KiB&b=64MiB&c=1024GiB&wait=30s");
        assert_eq!(url.take_bytes("a").unwrap(), Some(1_024));
        assert_eq!(url.take_bytes("b").unwrap(), Some(64 << 20));
        assert_eq!(url.take_bytes("c").unwrap(), Some(1 << 40));
        assert_eq!(url.take_start().unwrap(), Some(Start::Within(Duration::from_secs(30))));
        for size in ["0KiB", "64", "64MB", "1025GiB", "-1KiB", "MiB", "99999999999999999999GiB"] {
            let error = parse(&format!("s:?n={size}")).take_bytes("n").unwrap_err();
            assert!(error.to_string().starts_with("the option n is a size"), "{error}");
        }
        let start = |text: &str| parse(text).take_start();
        assert_eq!(start("s:?start=disconnected").unwrap(), Some(Start::Disconnected));
        assert_eq!(start("s:?start=connected").unwrap(), Some(Start::Connected));
        assert_eq!(start("s:").unwrap(), None);
        for text in ["s:?start=later", "s:?wait=0s", "s:?wait=1s&start=disconnected"] {
            assert_eq!(start(text).unwrap_err().kind(), ErrorKind::Config);
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in ["", "s", "://h", "s s://h", "s://h:0", "s://h:65536", "s://h:x", "s://h:"]
            .into_iter()
            .chain(["s://a,", "s://,a", "s://[::1", "s://[]", "s://[::1]x", "s://::1", "s://a b"])
            .chain(["s://h?a", "s://h?=%", "s:%", "s:%4", "s:%4g", "s:%ff", "s://h?a=1&a=2"])
            .chain(["s://u:a/b@h", "s://u:1/b@h", "s://u:a?b@h", "s:%+1"])
        {
            refusal(text);
        }
    }

    #[test]
    fn options_are_typed_and_none_is_left_over() {
        let mut url = parse("s://h?a=b%26c&n=4&t=250ms&u=2s&v=1m");
        assert_eq!(url.take("a").unwrap(), "b&c");
        assert_eq!(url.take("a"), None);
        assert_eq!(url.take_number("n", 1..=4).unwrap(), Some(4));
        assert_eq!(url.take_number("other", 1..=4).unwrap(), None);
        assert_eq!(url.take_time("t").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(url.take_time("u").unwrap(), Some(Duration::from_secs(2)));
        assert!(url.clone().finish().unwrap_err().to_string().contains("the option v"));
        assert_eq!(url.take_time("v").unwrap(), Some(Duration::from_secs(60)));
        url.finish().unwrap();

        for n in ["5", "0", "-1", "x", "", "1.0"] {
            let error = parse(&format!("s:?n={n}")).take_number("n", 1..=4).unwrap_err();
            assert_eq!(error.to_string(), "the option n is a number from 1 to 4");
        }
        for t in
            ["0ms", "0s", "1", "ms", "1h", "-1s", "1%20s", "61m", "99999999999999999999s", "s1"]
        {
            let error = parse(&format!("s:?t={t}")).take_time("t").unwrap_err();
            assert!(error.to_string().starts_with("the option t is a time"), "{error}");
        }
    }

    #[test]
    fn an_unknown_option_is_told_with_what_is_known() {
        let mut url = parse("s://h?colour=red");
        drop((url.take("lanes"), url.take("timeout")));
        let error = url.finish().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the store URL has the option colour; s takes lanes, timeout"
        );
        let error = parse("s:?x-y=1").finish().unwrap_err();
        assert_eq!(error.to_string(), "the store URL has the option x-y; s takes no options");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let url = parse("s://canary:canary@h/canary?canary%20=1&o=canary");
        assert!(!format!("{url:?}").contains("canary"), "{url:?}");
        assert!(!url.finish().unwrap_err().to_string().contains("canary"));
        for text in [
            "canary",
            "s://canary:canary",
            "s://u:canary/x@h",
            "s://u:canary?x@h",
            "s://u:1?canary=x@h",
        ]
        .into_iter()
        .chain(["s:?canary", "s:?o=canary%", "s:?@canary=1&@canary=2", "s://canary%@h"])
        {
            assert!(!refusal(text).contains("canary"), "{text}");
        }
    }
}
