use steadfast_backend::{Cursor, Entry, ErrorKind, Key, ScanPage, ScanRequest, StoreClock};

use crate::frame::{HEAD_LEN, Record, head, is_live};
use crate::{Engine, Fault, Span, Table};

/// The most keys that one page looks at.
const PAGE_LEN_MAX: usize = 1024;

/// The live entries under some keys, from one snapshot.
pub(crate) fn get<E: Engine>(
    engine: &E,
    keys: &[Key],
    clock: &StoreClock,
) -> Result<Vec<Option<Entry>>, Fault> {
    let names: Vec<&[u8]> = keys.iter().map(|key| key.as_str().as_bytes()).collect();
    let frames = engine.read(Table::Data, &names)?;
    let decode = |(key, frame): (&Key, Option<_>)| {
        frame.map(|frame| Record::decode(key, &frame)).transpose()
    };
    let records = keys.iter().zip(frames).map(decode).collect::<Result<Vec<_>, _>>()?;
    // Read only now: the engine may have waited long, and what died meanwhile is not served.
    let now_us = clock.now_us();
    Ok(records.into_iter().map(|record| record?.into_entry(now_us)).collect())
}

/// One page of live keys. An entry that cannot be read counts as live: it is there, and reading
/// it says what is wrong.
pub(crate) fn scan<E: Engine>(
    engine: &E,
    request: &ScanRequest,
    clock: &StoreClock,
) -> Result<ScanPage, Fault> {
    // All keys of a namespace and below start with `namespace:`, and ';' is the byte after ':'.
    let start = format!("{}:", request.namespace.as_str());
    let end = format!("{};", request.namespace.as_str());
    let after = match &request.after {
        None => start.as_bytes(),
        Some(cursor) => check_cursor(cursor, &start)?,
    };
    let limit = request.limit.get().min(PAGE_LEN_MAX);
    let span = Span { after, end: end.as_bytes(), limit, head_len: HEAD_LEN };
    let found = engine.span(Table::Data, span)?;
    let now_us = clock.now_us();
    let live =
        |frame: &[u8]| head(frame).is_ok_and(|(_, deadline_us)| is_live(deadline_us, now_us));
    let listed = |frame: &[u8]| live(frame) || head(frame).is_err();
    let keys = found.iter().filter(|(_, frame)| listed(frame)).map(|(key, _)| parse_key(key));
    let last = found.last().filter(|_| found.len() == limit);
    let next = last.map(|(key, _)| Cursor(key.clone()));
    Ok(ScanPage { keys: keys.collect::<Result<_, _>>()?, next })
}

fn check_cursor<'a>(cursor: &'a Cursor, start: &str) -> Result<&'a [u8], Fault> {
    let ours = cursor.0.starts_with(start.as_bytes()) && parse_key(&cursor.0).is_ok();
    ours.then_some(&cursor.0[..]).ok_or_else(|| {
        let detail = "the cursor is not from a scan of this namespace; start at the first page";
        Fault::new(ErrorKind::Invalid, detail)
    })
}

fn parse_key(bytes: &[u8]) -> Result<Key, Fault> {
    let key = std::str::from_utf8(bytes).ok().and_then(|text| Key::parse(text).ok());
    key.ok_or_else(|| {
        let detail = "the file holds a key that is not one; keep the file and restore a backup";
        Fault::new(ErrorKind::Corrupt, detail)
    })
}
