//! Listing the live keys of a namespace, server by server.

use redis::Value;
use steadfast_backend::{Bytes, Cursor, ErrorKind, Key, ScanPage, ScanRequest};

use crate::error::{Fault, Outcome, nonsense, sound};
use crate::frame::LIVE;
use crate::router::Router;

/// How many keys the server looks at for one page: few enough that nobody waits, and enough that
/// a namespace that is small beside the others is found.
const LOOKED_AT: std::ops::RangeInclusive<usize> = 64..=1_024;

/// Where a scan stands.
struct Place {
    /// The servers as they were when it began.
    map: u64,
    server: usize,
    /// The server's own cursor; it may be any 64 bits.
    cursor: u64,
}

/// Two trips.
pub(crate) async fn page(router: &Router, request: &ScanRequest) -> Outcome<ScanPage> {
    let (servers, map) = router.primaries();
    let place = match &request.after {
        None => Place { map, server: 0, cursor: 0 },
        Some(cursor) => Place::read(cursor)?,
    };
    let server = servers.get(place.server).filter(|_| place.map == map).ok_or_else(|| {
        let detail = "the servers of the Cluster changed since the scan began; begin it anew";
        Fault::new(ErrorKind::Contended, detail)
    })?;
    let count = request.limit.get().clamp(*LOOKED_AT.start(), *LOOKED_AT.end());
    let mut question = redis::pipe();
    question
        .cmd("SCAN")
        .arg(place.cursor)
        .arg("MATCH")
        // No character of a namespace means anything in a pattern.
        .arg(format!("{}:*", request.namespace.as_str()))
        .arg("COUNT")
        .arg(count);
    let mut answers = server.primary.ask_all(&question).await?.into_iter();
    let (cursor, names) = listed(sound(answers.next().ok_or_else(nonsense)?)?)?;
    let keys = names.into_iter().filter_map(|name| {
        let key = Key::parse(&String::from_utf8(name).ok()?).ok()?;
        request.namespace.contains(&key).then_some(key)
    });
    let keys = only_live(server, keys.collect()).await?;
    let next = match cursor {
        0 if place.server + 1 == servers.len() => None,
        0 => Some(Place { map, server: place.server + 1, cursor: 0 }),
        cursor => Some(Place { cursor, ..place }),
    };
    Ok(ScanPage { keys, next: next.map(|place| place.cursor()) })
}

/// Without those that are marked as deleted.
async fn only_live(server: &crate::shard::Shard, keys: Vec<Key>) -> Outcome<Vec<Key>> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut questions = redis::pipe();
    for key in &keys {
        questions.cmd("GETRANGE").arg(key.as_str()).arg(0).arg(LIVE.len() - 1);
    }
    let marks = server.primary.ask_all(&questions).await?;
    let live = |mark: Value| match mark {
        Value::BulkString(mark) => mark == LIVE,
        // It is on its way to another server, and may be live.
        _ => true,
    };
    Ok(keys.into_iter().zip(marks).filter(|(_, mark)| live(mark.clone())).map(first).collect())
}

fn first<A, B>((first, _second): (A, B)) -> A {
    first
}

fn listed(answer: Value) -> Outcome<(u64, Vec<Vec<u8>>)> {
    redis::from_redis_value(answer).map_err(|_other| nonsense())
}

impl Place {
    fn cursor(&self) -> Cursor {
        Cursor(Bytes::from(format!("{} {} {}", self.map, self.server, self.cursor)))
    }

    fn read(cursor: &Cursor) -> Outcome<Self> {
        let text = std::str::from_utf8(&cursor.0).unwrap_or_default();
        let mut numbers = text.split(' ').map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(map)), Some(Ok(server)), Some(Ok(cursor)), None) => {
                let server = usize::try_from(server).unwrap_or(usize::MAX);
                Ok(Self { map, server, cursor })
            }
            _ => Err(Fault::new(ErrorKind::Invalid, "this cursor is not of this backend")),
        }
    }
}
