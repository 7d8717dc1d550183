//! The environment, parsed once; a bad value stops the start with one line.

use std::env;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::secret;

/// What the demo is started with.
pub(crate) struct Config {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) state_url: String,
    /// The variable that the URL came from.
    pub(crate) state_var: &'static str,
    /// Unset: [`secret::kept_or_random`].
    pub(crate) jwt_secret: Option<Vec<u8>>,
    pub(crate) token_issuer: String,
    pub(crate) session_idle: Duration,
    pub(crate) session_absolute: Duration,
    pub(crate) idempotency_retention: Duration,
    pub(crate) idempotency_lease: Duration,
    pub(crate) metrics: bool,
    /// Unset: the address it listens on.
    pub(crate) replica: Option<String>,
}

const ISSUER_LEN_MAX: usize = 256;
const LEASE: Duration = Duration::from_secs(10);
const DAY_S: u64 = 86_400;
const TEN_YEARS_S: u64 = 10 * 365 * 24 * 3_600;

impl Config {
    pub(crate) fn from_env() -> Result<Self, String> {
        let (state_var, state_url) = match (text("STATE_URL")?, text("REDIS_URL")?) {
            (Some(url), _) => ("STATE_URL", url),
            (None, Some(url)) => ("REDIS_URL", url),
            (None, None) => ("STATE_URL", "redb:./data/steadfast.redb".to_owned()),
        };
        let issuer = text("TOKEN_ISSUER")?.unwrap_or_else(|| "steadfast-demo".to_owned());
        if issuer.len() > ISSUER_LEN_MAX {
            return Err(format!(
                "TOKEN_ISSUER: it has {} bytes; allowed is 1 to {ISSUER_LEN_MAX}",
                issuer.len()
            ));
        }
        let retention = seconds("IDEMPOTENCY_TTL", DAY_S)?;
        // A claim must lapse before it is forgotten.
        let lease = match text("IDEMPOTENCY_LEASE")? {
            None => LEASE.min(retention / 2),
            Some(_) => seconds("IDEMPOTENCY_LEASE", 0)?,
        };
        let config = Self {
            host: text("HOST")?.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: parse("PORT", 8080, "a port from 0 to 65535; 0 picks a free one")?,
            jwt_secret: given("JWT_SECRET")?.map(secret::checked).transpose()?,
            state_var,
            state_url,
            token_issuer: issuer,
            session_idle: seconds("SESSION_TTL", 3_600)?,
            session_absolute: seconds("SESSION_MAX_AGE", DAY_S)?,
            idempotency_retention: retention,
            idempotency_lease: lease,
            metrics: parse("ENABLE_METRICS", true, "true or false")?,
            replica: text("REPLICA")?.map(checked_name).transpose()?,
        };
        if config.idempotency_lease >= config.idempotency_retention {
            return Err("IDEMPOTENCY_LEASE: it is not shorter than IDEMPOTENCY_TTL; allowed is \
                        any number of seconds below that"
                .to_owned());
        }
        Ok(config)
    }
}

fn checked_name(replica: String) -> Result<String, String> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "_.:[]-".contains(char);
    if replica.len() <= 64 && replica.chars().all(allowed) {
        return Ok(replica);
    }
    Err(format!(
        "REPLICA: {replica:?} is not a valid value; allowed is 1 to 64 of [A-Za-z0-9_.:\\[\\]-]"
    ))
}

/// What `RUST_LOG` asks for. A word that is no level would be taken for a part of the program, and
/// all others would fall silent.
pub(crate) fn log_filter() -> Result<EnvFilter, String> {
    let given = text("RUST_LOG")?.unwrap_or_else(|| "info".to_owned());
    let mut words = given.split(',').filter(|word| !word.contains(['=', '[']));
    let levels_only = words.all(|word| word.parse::<LevelFilter>().is_ok());
    let filter = EnvFilter::builder().parse(&given).ok().filter(|_filter| levels_only);
    filter.ok_or_else(|| {
        format!(
            "RUST_LOG: {given:?} is not a valid value; allowed is a level (off, error, warn, info, \
             debug, trace), TARGET=LEVEL, or several of them with commas"
        )
    })
}

/// An unset or empty variable is `None`.
fn text(name: &str) -> Result<Option<String>, String> {
    Ok(given(name)?.filter(|value| !value.is_empty()))
}

/// An unset variable is `None`. White space around a value is never meant: it comes from a file
/// that ends with a new line, say.
fn given(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) if value.trim() != value => Err(format!(
            "{name}: it begins or ends with white space; allowed is the bare value, without a \
             space or a new line around it"
        )),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(format!("{name}: it is not valid UTF-8; allowed is plain text"))
        }
    }
}

fn parse<T: FromStr>(name: &str, default: T, allowed: &str) -> Result<T, String> {
    match text(name)? {
        None => Ok(default),
        Some(value) => value
            .parse()
            .map_err(|_| format!("{name}: {value:?} is not a valid value; allowed is {allowed}")),
    }
}

fn seconds(name: &str, default: u64) -> Result<Duration, String> {
    let allowed = format!("a whole number of seconds from 1 to {TEN_YEARS_S} (ten years)");
    let seconds = parse(name, default, &allowed)?;
    if (1..=TEN_YEARS_S).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(format!("{name}: {seconds} is out of range; allowed is {allowed}"))
}
