//! The library's own records: sessions, what belongs to a principal, and claims.

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use steadfast::backend::{Bytes, Key, Namespace, ScanRequest};
use steadfast::idempotency::{Fingerprint, IdempotencyKey, OnLapse, Scope};
use steadfast::session::{Edit, SessionError, SessionId};
use steadfast::{Error, ErrorKind, Idempotency, Principal, Sessions};

use super::envelope::Sample;
use super::world::{World, block_on, bounded_by, mended};

struct Bench {
    world: World,
    sessions: Sessions<Sample>,
    claims: Idempotency<Sample>,
    /// The same, of somebody who runs again what has lapsed.
    takers: Idempotency<Sample>,
    alice: Principal,
    anonymous: SessionId,
    signed_in: SessionId,
    /// Every record as it was made: the anonymous session; Alice's session, list and generation;
    /// her claim.
    records: Vec<(Key, Bytes)>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let world = World::new();
    let sessions = Sessions::builder(&world.clear).build().unwrap();
    let claims = Idempotency::builder(&world.clear).build().unwrap();
    let takers = Idempotency::builder(&world.clear).on_lapse(OnLapse::Recover).build().unwrap();
    let alice = Principal::new("alice").unwrap();
    let mut records = Vec::new();
    let anonymous = block_on(sessions.create(Sample::default())).unwrap().id;
    find_new(&world, &mut records);
    fix_generation(&world, &sessions, &alice);
    let signed_in = block_on(sessions.sign_in(&alice, "phone", Sample::default())).unwrap().id;
    find_new(&world, &mut records);
    let bench = Bench { world, sessions, claims, takers, alice, anonymous, signed_in, records };
    begin(&bench, &bench.claims).unwrap();
    let mut records = bench.records.clone();
    find_new(&bench.world, &mut records);
    assert_eq!(records.len(), 5, "two sessions, a list, a generation and a claim");
    Bench { records, ..bench }
});

/// A generation is random. A saved input only means the same again if it always is 1.
fn fix_generation(world: &World, sessions: &Sessions<Sample>, alice: &Principal) {
    let mut records = Vec::new();
    find_new(world, &mut records);
    let before = records.len();
    block_on(sessions.sign_in(alice, "", Sample::default())).unwrap();
    find_new(world, &mut records);
    for (key, bytes) in &records[before..] {
        if key.name() == "user" {
            let one = [&bytes[..32], &[0, 0, 0, 1], &[1]].concat();
            world.put(key, &mended(&one));
        } else {
            block_on(world.clear.delete(key)).unwrap();
        }
    }
}

/// Enters what is stored and not entered yet, by the name of its key.
fn find_new(world: &World, records: &mut Vec<(Key, Bytes)>) {
    let namespace = Namespace::new("app").unwrap();
    let request = ScanRequest { namespace, after: None, limit: NonZeroUsize::new(99).unwrap() };
    let mut keys = block_on(world.backend.scan(request)).unwrap().keys;
    keys.retain(|key| records.iter().all(|(known, _bytes)| known != key));
    // A digest is longer than the names of the other records, so a session comes first.
    keys.sort_by_key(|key| (std::cmp::Reverse(key.name().len()), key.name().to_owned()));
    records.extend(keys.into_iter().map(|key| (key.clone(), world.stored(&key).unwrap())));
}

/// A record is understood, or is said to be corrupt and stays as it is, whoever meets it. The
/// first byte says in whose place it is put.
pub(super) fn check(input: &[u8]) {
    let Some((place, input)) = input.split_first() else { return };
    let bench = &*BENCH;
    let place = usize::from(*place) % bench.records.len();
    let (key, _bytes) = &bench.records[place];
    let bytes = mended(input);
    for meet in MEETINGS[place] {
        for (key, bytes) in &bench.records {
            if bench.world.stored(key).as_ref() != Some(bytes) {
                bench.world.put(key, bytes);
            }
        }
        bench.world.put(key, &bytes);
        if let Err(error) = bounded_by(&bytes, || meet(bench)) {
            bench.world.assert_kept(&error, key, &bytes);
        }
    }
}

type Meeting = fn(&Bench) -> Result<(), Error>;

/// Who reads each record, and who would replace it.
const MEETINGS: [&[Meeting]; 5] = [ANONYMOUS, ALICES, ALICES, ALICES, CLAIM];

const ANONYMOUS: &[Meeting] = &[
    |bench| look(bench, &bench.anonymous),
    |bench| change(bench, &bench.anonymous),
    |bench| end(bench, &bench.anonymous),
];

const ALICES: &[Meeting] = &[
    |bench| look(bench, &bench.signed_in),
    |bench| change(bench, &bench.signed_in),
    |bench| block_on(bench.sessions.devices(&bench.alice, Some(&bench.signed_in))).map(drop),
    |bench| end(bench, &bench.signed_in),
];

const CLAIM: &[Meeting] = &[
    |bench| begin(bench, &bench.claims),
    |bench| begin(bench, &bench.takers),
    |bench| {
        let (scope, key) = pay(bench);
        kept_anyhow(block_on(bench.claims.status(&scope, &key)).map(drop))
    },
];

fn look(bench: &Bench, id: &SessionId) -> Result<(), Error> {
    let Some(session) = block_on(bench.sessions.load(id))? else { return Ok(()) };
    assert!(session.idle_left <= session.absolute_left);
    assert_eq!(session.principal.is_some(), *id == bench.signed_in);
    Ok(())
}

fn change(bench: &Bench, id: &SessionId) -> Result<(), Error> {
    let edit = Edit::new().set("theme", "dark").increment("visits", 1).insert("seen", "a");
    match block_on(bench.sessions.edit(id, &edit)) {
        // The record is good, and what is in it does not go with the edit.
        Err(SessionError::Store(error)) if EDIT_REFUSED.contains(&error.kind()) => Ok(()),
        Err(SessionError::Store(error)) => Err(error),
        _ => Ok(()),
    }
}

fn end(bench: &Bench, id: &SessionId) -> Result<(), Error> {
    match block_on(bench.sessions.destroy(id)) {
        Err(SessionError::Store(error)) => Err(error),
        _ended_or_moved => Ok(()),
    }
}

const EDIT_REFUSED: [ErrorKind; 2] = [ErrorKind::Invalid, ErrorKind::TooLarge];

fn begin(bench: &Bench, claims: &Idempotency<Sample>) -> Result<(), Error> {
    let (scope, key) = pay(bench);
    let begun = block_on(claims.begin(&scope, &key, &Fingerprint::of(["10 EUR"])));
    kept_anyhow(begun.map(drop))
}

fn pay(bench: &Bench) -> (Scope, IdempotencyKey) {
    (Scope::of(&bench.alice, "POST /pay"), IdempotencyKey::new("k-1").unwrap())
}

/// A claim with an absolute end, which nobody writes, is told otherwise and kept all the same.
fn kept_anyhow(met: Result<(), Error>) -> Result<(), Error> {
    met.map_err(|error| match error.kind() {
        ErrorKind::Other => Error::new(ErrorKind::Corrupt, error.to_string()),
        _ => error,
    })
}
