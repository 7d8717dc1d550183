use poem::http::HeaderValue;

use crate::backend::{Error, ErrorKind, Result};

use super::SessionCookie;

/// Settings of a [`SessionCookie`]. It is `Secure` and `HttpOnly` in any case.
///
/// ```
/// use steadfast::http::{SameSite, SessionCookie};
///
/// let cookie = SessionCookie::builder()
///     .name("__Secure-sid")
///     .domain("example.com")
///     .same_site(SameSite::Strict)
///     .build()?;
/// assert!(cookie.removal().to_str().unwrap().contains("SameSite=Strict; Domain=example.com"));
///
/// // A browser would ignore this one.
/// assert!(SessionCookie::builder().name("__Host-sid").domain("example.com").build().is_err());
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionCookieBuilder {
    name: String,
    domain: Option<String>,
    path: String,
    same_site: SameSite,
    partitioned: bool,
    persistent: bool,
}

/// Which requests from other sites bring the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Those by which a user comes to this site.
    #[default]
    Lax,
    /// All of them: for services that are embedded elsewhere. Protect against forged requests.
    None,
    /// None of them.
    Strict,
}

impl SameSite {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::None => "None",
            Self::Strict => "Strict",
        }
    }
}

impl SessionCookieBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "__Host-sid".to_owned(),
            domain: None,
            path: "/".to_owned(),
            same_site: SameSite::default(),
            partitioned: false,
            persistent: true,
        }
    }

    /// Its name. With a domain, or a path other than `/`, it must not begin with `__Host-`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The domain that has it, with all its subdomains; without, the very host that set it. A dot
    /// before it says nothing (RFC 6265, 4.1.2.3) and is left out.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// The path below which it is sent, as it stands in URLs; `/` unless set.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Which requests from other sites bring it.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Keeps it apart for each site that embeds this one.
    #[must_use]
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// Lets the browser forget it when it closes. Otherwise it lives as long as the session may,
    /// but no longer than 400 days.
    #[must_use]
    pub fn until_closed(mut self) -> Self {
        self.persistent = false;
        self
    }

    /// Checks what browsers would silently ignore.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a `__Host-` name with a domain or another path than `/`, for a
    /// domain that is no host name, for a path that no URL has, and for a name with characters that
    /// it cannot have, or too many of them.
    pub fn build(self) -> Result<SessionCookie> {
        let Self { name, domain, path, same_site, partitioned, persistent } = self;
        let domain = domain.map(|domain| match domain.strip_prefix('.') {
            Some(without_dot) => without_dot.to_owned(),
            None => domain,
        });
        if !is_name(&name) {
            return Err(invalid(NAME));
        }
        if !is_path(&path) {
            return Err(invalid(PATH));
        }
        if !domain.as_deref().is_none_or(is_host_name) {
            return Err(invalid(DOMAIN));
        }
        let host_only = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("__Host-"));
        if host_only && (domain.is_some() || path != "/") {
            let detail = "browsers ignore a cookie whose name begins with __Host- if it has a \
                          domain, or another path than /; name it __Secure-…";
            return Err(invalid(detail));
        }
        let mut attributes =
            format!("Path={path}; Secure; HttpOnly; SameSite={}", same_site.as_str());
        if let Some(domain) = domain {
            attributes = format!("{attributes}; Domain={domain}");
        }
        if partitioned {
            attributes.push_str("; Partitioned");
        }
        let removal =
            format!("{name}=; Max-Age=0; {attributes}; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
        let removal = HeaderValue::from_str(&removal)
            .map_err(|cause| invalid("the attributes of a cookie fit a header").caused_by(cause))?;
        let (name, attributes) = (name.into(), attributes.into());
        Ok(SessionCookie { name, attributes, removal, persistent, secure: true })
    }
}

const NAME: &str = "the name of a cookie has 1 to 1024 letters, digits and !#$%&'*+-.^_`|~";
const PATH: &str = "the path of a cookie begins with a slash and has 1 to 1024 characters that a \
                    URL has in its path: letters, digits, -._~!$&'()*+,=:@/ and %XX, and no \
                    segment . or ..";
const DOMAIN: &str = "the domain of a cookie is a host name of 1 to 253 characters: labels of 1 to \
                      63 letters, digits and hyphens, none at their ends, with a dot between two";

/// A token (RFC 9110, 5.6.2). Browsers take 4096 bytes of name and value; an id has at most 65.
fn is_name(name: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=1_024).contains(&name.len()) && name.bytes().all(may)
}

/// The path of a URL as browsers send it (RFC 3986, 3.3), but a semicolon, which ends the
/// attribute. Browsers compare it with the path of a request octet by octet, so another spelling
/// matches nothing. An attribute has at most 1024 bytes (rfc6265bis, 5.6).
fn is_path(path: &str) -> bool {
    let dots =
        |segment: &str| [".", ".."].contains(&&*segment.to_ascii_lowercase().replace("%2e", "."));
    path.len() <= 1_024
        && path.starts_with('/')
        && path.split('%').skip(1).all(|after| {
            after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
        })
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/%".contains(&byte))
        && !path.split('/').any(dots)
}

/// RFC 1034, 3.5, with digits in front (RFC 1123, 2.1), as rfc6265bis, 4.1.1, demands.
fn is_host_name(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= 253 && domain.split('.').all(is_label)
}

fn invalid(detail: &str) -> Error {
    Error::new(ErrorKind::Invalid, detail)
}
