//! Listing the live keys of a namespace, server by server.

use redis::Value;
use steadfast_backend::{Bytes, Cursor, ErrorKind, Key, ScanPage, ScanRequest};

use crate::error::{Fault, Outcome, nonsense, sound};
use crate::frame::{GONE_LEN, is_gone};
use crate::router::Router;

/// How many keys the server looks at for one page: few enough that nobody waits, and enough that
/// a namespace that is small beside the others is found.
const LOOKED_AT: std::ops::RangeInclusive<usize> = 64..=1_024;

/// Where a scan stands.
struct Place {
    /// The servers as they were when it began.
    map: u64,
    server: usize,
    /// The life of the server: its cursor means nothing to the next one. Empty at its first page.
    run: String,
    /// The server's own cursor; it may be any 64 bits.
    cursor: u64,
}

/// Two trips.
pub(crate) async fn page(router: &Router, request: &ScanRequest) -> Outcome<ScanPage> {
    let (servers, map) = router.primaries();
    let place = match &request.after {
        None => Place { map, server: 0, run: String::new(), cursor: 0 },
        Some(cursor) => Place::read(cursor)?,
    };
    let server = servers.get(place.server).filter(|_| place.map == map).ok_or_else(stale)?;
    let count = request.limit.get().clamp(*LOOKED_AT.start(), *LOOKED_AT.end());
    let mut question = redis::pipe();
    question
        .cmd("SCAN")
        .arg(place.cursor)
        .arg("MATCH")
        // No character of a namespace means anything in a pattern.
        .arg(format!("{}:*", request.namespace.as_str()))
        .arg("COUNT")
        .arg(count)
        .cmd("INFO")
        .arg("server");
    let mut answers = server.primary.ask_all(&question).await?.into_iter();
    let (cursor, names) = listed(sound(answers.next().ok_or_else(nonsense)?)?)?;
    // Without it, a server that was started again meanwhile would not be noticed.
    let run = run_in(&sound(answers.next().ok_or_else(nonsense)?)?)?;
    if !place.run.is_empty() && place.run != run {
        return Err(stale());
    }
    let keys = names.into_iter().filter_map(|name| {
        let key = Key::parse(&String::from_utf8(name).ok()?).ok()?;
        request.namespace.contains(&key).then_some(key)
    });
    let keys = only_live(server, keys.collect()).await?;
    let next = match cursor {
        0 if place.server + 1 == servers.len() => None,
        0 => Some(Place { map, server: place.server + 1, run: String::new(), cursor: 0 }),
        cursor => Some(Place { run, cursor, ..place }),
    };
    Ok(ScanPage { keys, next: next.map(|place| place.cursor()) })
}

/// Without those that are marked as deleted. What cannot be read is listed: reading it says what is
/// wrong.
async fn only_live(server: &crate::shard::Shard, keys: Vec<Key>) -> Outcome<Vec<Key>> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut questions = redis::pipe();
    for key in &keys {
        // One byte more than a mark of deletion has.
        questions.cmd("GETRANGE").arg(key.as_str()).arg(0).arg(GONE_LEN);
    }
    let marks = server.primary.ask_all(&questions).await?;
    let live = |mark: &Value| match mark {
        Value::BulkString(mark) => !is_gone(mark),
        // It is on its way to another server, and may be live.
        _ => true,
    };
    let marked = keys.into_iter().zip(&marks);
    Ok(marked.filter_map(|(key, mark)| live(mark).then_some(key)).collect())
}

fn stale() -> Fault {
    let detail = "a server was replaced or started again since the scan began; begin it anew";
    Fault::new(ErrorKind::Contended, detail)
}

/// What tells one life of a server from the next.
fn run_in(info: &Value) -> Outcome<String> {
    let Value::BulkString(info) = info else { return Err(nonsense()) };
    let info = String::from_utf8_lossy(info);
    let run = info.lines().find_map(|line| line.trim().strip_prefix("run_id:"));
    run.map(str::to_owned).ok_or_else(nonsense)
}

fn listed(answer: Value) -> Outcome<(u64, Vec<Vec<u8>>)> {
    redis::from_redis_value(answer).map_err(|_other| nonsense())
}

impl Place {
    fn cursor(&self) -> Cursor {
        Cursor(Bytes::from(format!("{} {} {} {}", self.map, self.server, self.cursor, self.run)))
    }

    fn read(cursor: &Cursor) -> Outcome<Self> {
        let text = std::str::from_utf8(&cursor.0).unwrap_or_default();
        let parts: Vec<_> = text.split(' ').collect();
        if let [map, server, cursor, run] = parts[..]
            && let (Ok(map), Ok(server), Ok(cursor)) = (map.parse(), server.parse(), cursor.parse())
        {
            return Ok(Self { map, server, run: run.to_owned(), cursor });
        }
        Err(Fault::new(ErrorKind::Invalid, "this cursor is not of this backend"))
    }
}
