//! P12: no payload, token, session id or credential in an error or `Debug` output. For
//! events see `tests/logs.rs`.

use std::fmt::Write as _;
use std::time::Duration;

use steadfast::idempotency::{
    Begin, CompletedWith, Completion, Fingerprint, IdempotencyKey, Ran, Reason, Resolution, Scope,
    Tombstone,
};
use steadfast::token::{Claims, Key};
use steadfast::{Principal, Store, Tokens};

use crate::world::{Receipt, World, acquired, on_every_backend, on_servers};

on_every_backend!(no_secret_is_printed);

on_servers!(no_secret_is_printed);

const CANARY: &str = "canary-7f3a";

async fn no_secret_is_printed(world: World) {
    let mut out = String::new();
    let principal = Principal::new(CANARY).unwrap();
    let sessions = steadfast::Sessions::<Canary>::builder(&world.store).build().unwrap();
    let session = sessions.sign_in(&principal, CANARY, Canary(CANARY.to_owned())).await.unwrap();
    let id = session.id.expose();
    writeln!(out, "{session:?} {principal:?} {sessions:?} {:?}", session.id).unwrap();
    let loaded = sessions.load(&session.id).await.unwrap();
    let updated = sessions.update(&session.id, |state| state.0.push('!')).await.unwrap();
    writeln!(out, "{loaded:?} {updated:?}").unwrap();
    writeln!(out, "{:?}", format!("{id}x").parse::<steadfast::session::SessionId>()).unwrap();

    let payments = steadfast::Idempotency::<Receipt>::builder(&world.store).build().unwrap();
    let (key, scope) = (IdempotencyKey::new(CANARY).unwrap(), Scope::of(&principal, "pay"));
    let print = Fingerprint::of([CANARY]);
    let mut claim = acquired(payments.begin(&scope, &key, &print).await.unwrap());
    writeln!(out, "{:?}", claim.save_checkpoint(CANARY).await).unwrap();
    writeln!(out, "{:?}", claim.tombstone(Reason::Failed, Some(&Receipt::new(CANARY))).await)
        .unwrap();
    writeln!(out, "{:?}", payments.status(&scope, &key).await.unwrap()).unwrap();
    writeln!(out, "{claim:?} {key:?} {scope:?} {print:?} {payments:?}").unwrap();
    let too_long = IdempotencyKey::new(format!("{CANARY} {CANARY}"));
    writeln!(out, "{too_long:?} {:?}", world.store).unwrap();

    let group = principal.group();
    let key = world.store.key("canary", &group, "one").unwrap();
    let updated = world.store.update(&key, None, |state: &mut Option<Canary>| {
        *state = Some(Canary(CANARY.to_owned()));
    });
    writeln!(out, "{:?}", updated.await.unwrap()).unwrap();
    writeln!(out, "{:?}", world.store.get::<Canary>(&key).await.unwrap()).unwrap();
    writeln!(out, "{:?}", world.store.get::<Receipt>(&key).await.unwrap_err()).unwrap();

    assert!(!out.contains(CANARY), "{out}");
    assert!(!out.contains(&id[..8]), "{out}");
}

#[tokio::test]
async fn no_url_is_printed() {
    for url in ["ftp://user:canary-7f3a@host", "memory:canary-7f3a", "canary-7f3a", "redb:"]
        .into_iter()
        .chain(["redb:x?canary-7f3a", "redb:x?a@canary-7f3a=1", "memory:?o=canary-7f3a"])
        .chain(["redis://canary-7f3a@h", "redis://u:canary-7f3a@h?pool=1", "redis://u:canary-7f3a"])
        .chain(["redis://u:canary-7f3a/@h", "redis://:canary-7f3a@127.0.0.1:1"])
        .chain(["redis-sentinel://127.0.0.1:1/main?sentinel_password=canary-7f3a"])
    {
        let error = steadfast::connect(url).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
    }
}

#[test]
fn no_answer_is_printed() {
    let answer = || Some(Receipt::new(CANARY));
    let (reason, all) = (Reason::Failed, Receipt::new(CANARY));
    let begun = [Begin::Replay(all.clone()), Begin::Indeterminate { reason, answer: answer() }];
    let ran: [Ran<Receipt, ()>; 3] = [
        Ran::Executed(all.clone()),
        Ran::Replayed(all.clone()),
        Ran::Indeterminate { reason, answer: answer() },
    ];
    let completed = Completion::Fenced { winner: answer() };
    let completed_with = CompletedWith::Fenced { winner: answer() };
    let kept = Tombstone::Fenced { winner: answer() };
    let found = Resolution::Completed(all);
    let out = format!("{begun:?} {ran:?} {completed:?} {completed_with:?} {kept:?} {found:?}");
    assert!(!out.contains(CANARY), "{out}");
}

#[test]
fn no_token_is_printed() {
    let key = Key::hs256(format!("{CANARY:-<40}").as_bytes()).unwrap();
    let mut out = format!("{key:?}");
    let tokens = Tokens::builder("shop", key).any_audience();
    write!(out, "{tokens:?}").unwrap();
    let tokens = tokens.build().unwrap();
    let claims = Claims::new(CANARY).session(CANARY).id(CANARY);
    let token = tokens.issue(&claims, Duration::from_secs(9)).unwrap();
    let verified = tokens.verify(&token).unwrap();
    write!(out, "{tokens:?} {claims:?} {verified:?}").unwrap();
    write!(out, "{:?} {:?}", tokens.keys(), tokens.verify(&format!("{token}A"))).unwrap();
    assert!(!out.contains(CANARY), "{out}");
}

/// A session's state with a secret in it; it has no `Debug`, and nobody asks for one.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Canary(String);

impl steadfast::State for Canary {
    const SCHEMA: u16 = 1;
}

/// Used by the compiler only: a store is built from any backend.
#[expect(dead_code, reason = "shows that Store is Send and Sync")]
fn store_is_shareable(store: Store) -> impl Send + Sync {
    store
}
