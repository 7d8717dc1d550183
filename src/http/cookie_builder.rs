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

    /// The domain that has it, with all its subdomains; without, the very host that set it.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// The path below which it is sent; `/` unless set.
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
    /// [`ErrorKind::Invalid`] for a `__Host-` name with a domain or another path than `/`, and for
    /// a name, domain or path with characters that it cannot have, or too many of them.
    pub fn build(self) -> Result<SessionCookie> {
        let Self { name, domain, path, same_site, partitioned, persistent } = self;
        check("name", &name, NAME_LEN_MAX, |byte| {
            byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
        })?;
        check("path", &path, ATTRIBUTE_LEN_MAX, |byte| byte.is_ascii_graphic() && byte != b';')?;
        if !path.starts_with('/') {
            return Err(invalid("the path of a cookie begins with a slash"));
        }
        if let Some(domain) = &domain {
            check("domain", domain, ATTRIBUTE_LEN_MAX, |byte| {
                byte.is_ascii_alphanumeric() || b"-.".contains(&byte)
            })?;
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

/// Browsers take 4096 bytes of name and value; an id has at most 65.
const NAME_LEN_MAX: usize = 1_024;
const ATTRIBUTE_LEN_MAX: usize = 1_024;

fn check(what: &str, text: &str, len_max: usize, may: impl Fn(u8) -> bool) -> Result<()> {
    if (1..=len_max).contains(&text.len()) && text.bytes().all(may) {
        return Ok(());
    }
    Err(invalid(&format!("the {what} of a cookie has 1 to {len_max} characters of its alphabet")))
}

fn invalid(detail: &str) -> Error {
    Error::new(ErrorKind::Invalid, detail)
}
