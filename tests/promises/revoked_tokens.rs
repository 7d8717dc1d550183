//! A revoked token stays revoked: on every replica, through outages, and whatever the clocks say.

use std::sync::Arc;
use std::time::Duration;

use steadfast::backend::{ErrorKind, ManualClock};
use steadfast::token::{CheckError, Claims, Key, Revocations, TokenError, Verified};
use steadfast::{Store, Tokens};

use crate::fault::{Fault, Faulty};
use crate::world::{SECOND, World, on_every_backend};

on_every_backend!(
    a_revoked_token_is_refused_on_every_replica_at_once,
    a_revoked_token_never_comes_back,
    clocks_that_differ_bring_no_revoked_token_back,
    a_revoked_subject_loses_every_token_and_nobody_else_does,
    a_subjects_token_from_within_the_second_is_revoked_too,
    a_later_revocation_of_a_subject_is_never_taken_back,
    an_outage_is_never_taken_for_not_revoked,
    a_check_takes_one_trip,
    a_token_that_could_not_be_revoked_is_refused,
);

const LIFE: Duration = Duration::from_secs(600);
const LEEWAY: Duration = Duration::from_secs(30);

/// A replica's tokens, on a clock of its own.
fn tokens_at(clock: &ManualClock) -> Tokens {
    let key = Key::hs256(&[7; 32]).unwrap();
    let tokens = Tokens::builder("shop", key).any_audience().life_max(LIFE);
    tokens.cache(1_000).clock(clock.clone()).build().unwrap()
}

fn replica(world: &World) -> (Tokens, Revocations) {
    replica_on(&world.store, &world.clock)
}

fn replica_on(store: &Store, clock: &ManualClock) -> (Tokens, Revocations) {
    let tokens = tokens_at(clock);
    (tokens.clone(), Revocations::best_effort(store, &tokens))
}

fn issue(tokens: &Tokens, subject: &str) -> (String, Verified) {
    let token = tokens.issue(&Claims::new(subject), LIFE).unwrap();
    let verified = tokens.verify(&token).unwrap();
    (token, verified)
}

fn refusal(verdict: Result<Verified, CheckError>) -> TokenError {
    match verdict {
        Err(CheckError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

async fn a_revoked_token_is_refused_on_every_replica_at_once(world: World) {
    let ((tokens, here), (_, there)) = (replica(&world), replica(&world));
    let (token, verified) = issue(&tokens, "alice");
    let (other, _) = issue(&tokens, "alice");
    // Both replicas remember the signature.
    assert_eq!(here.verify(&token).await.unwrap(), verified);
    assert_eq!(there.verify(&token).await.unwrap(), verified);
    here.revoke(&verified).await.unwrap();
    for replica in [&here, &there] {
        assert_eq!(refusal(replica.verify(&token).await), TokenError::Revoked);
        assert!(replica.verify(&other).await.is_ok(), "another token of the same subject");
    }
    // Without a look-up it is as good as ever: that is what the look-up is for.
    assert!(tokens.verify(&token).is_ok());
}

async fn a_revoked_token_never_comes_back(world: World) {
    let (tokens, revocations) = replica(&world);
    let (token, verified) = issue(&tokens, "alice");
    revocations.revoke(&verified).await.unwrap();
    for _second in 0..(LIFE + LEEWAY + SECOND).as_millis() / 1_000 {
        let reason = refusal(revocations.verify(&token).await);
        assert!(matches!(reason, TokenError::Revoked | TokenError::Expired), "{reason}");
        world.clock.advance(SECOND);
    }
    assert_eq!(refusal(revocations.verify(&token).await), TokenError::Expired);
    // The entry itself goes, too, in the end.
    world.clock.advance(2 * Tokens::CLOCKS_APART_MAX);
    assert!(revocations.check(&verified).await.is_ok());
}

/// The entry's life is counted on the store's clock from the moment of the revocation. A replica
/// whose clock is behind that of the one that revoked takes the token for longer.
async fn clocks_that_differ_bring_no_revoked_token_back(world: World) {
    let now_us = 1_700_000_000_000_000;
    let apart_us = u64::try_from(Tokens::CLOCKS_APART_MAX.as_micros()).unwrap();
    let behind = ManualClock::at_us(now_us - apart_us);
    let (tokens, _) = replica(&world);
    let (_, slow) = replica_on(&world.store, &behind);
    let (token, verified) = issue(&tokens, "alice");
    let (everywhere, _) = issue(&tokens, "bob");
    replica(&world).1.revoke(&verified).await.unwrap();
    replica(&world).1.revoke_subject("bob").await.unwrap();
    let step = 10 * SECOND;
    let end = LIFE + Tokens::CLOCKS_APART_MAX + LEEWAY;
    for _step in 0..=end.as_millis() / step.as_millis() {
        assert!(slow.verify(&token).await.is_err());
        assert!(slow.verify(&everywhere).await.is_err());
        world.clock.advance(step);
        behind.advance(step);
    }
}

async fn a_revoked_subject_loses_every_token_and_nobody_else_does(world: World) {
    let (tokens, revocations) = replica(&world);
    let (laptop, phone) = (issue(&tokens, "alice").0, issue(&tokens, "alice").0);
    let bob = issue(&tokens, "bob").0;
    world.clock.advance(Duration::from_millis(300));
    let wait = revocations.revoke_subject("alice").await.unwrap();
    for token in [&laptop, &phone] {
        assert_eq!(refusal(revocations.verify(token).await), TokenError::Revoked);
    }
    assert!(revocations.verify(&bob).await.is_ok());

    assert!(wait <= 2 * SECOND, "{wait:?}");
    world.clock.advance(wait - Duration::from_micros(1));
    let too_soon = issue(&tokens, "alice").0;
    assert_eq!(refusal(revocations.verify(&too_soon).await), TokenError::Revoked);
    world.clock.advance(Duration::from_micros(1));
    let after = issue(&tokens, "alice").0;
    assert!(revocations.verify(&after).await.is_ok());

    world.clock.advance(LIFE + LEEWAY - 2 * SECOND);
    assert!(revocations.verify(&laptop).await.is_err());
}

async fn a_later_revocation_of_a_subject_is_never_taken_back(world: World) {
    let behind = ManualClock::at_us(1_700_000_000_000_000 - 10_000_000);
    let (tokens, revocations) = replica(&world);
    let token = issue(&tokens, "alice").0;
    revocations.revoke_subject("alice").await.unwrap();
    replica_on(&world.store, &behind).1.revoke_subject("alice").await.unwrap();
    assert_eq!(refusal(revocations.verify(&token).await), TokenError::Revoked);
}

async fn an_outage_is_never_taken_for_not_revoked(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let (tokens, revocations) = replica_on(&faulty.store(), &world.clock);
    let (token, verified) = issue(&tokens, "alice");
    for fault in [Fault::Cut, Fault::ReplyLost] {
        faulty.fail_next(&[fault]);
        match revocations.verify(&token).await {
            Err(CheckError::Store(error)) => assert!(error.is_outage(), "{error}"),
            other => panic!("an answer without the store: {other:?}"),
        }
        faulty.fail_next(&[fault]);
        assert!(revocations.revoke(&verified).await.unwrap_err().is_outage());
        faulty.fail_next(&[fault]);
        assert!(revocations.revoke_subject("alice").await.unwrap_err().is_outage());
    }
    // What is no good without the store is refused without it.
    faulty.fail_next(&[Fault::Cut]);
    assert_eq!(refusal(revocations.verify("no token").await), TokenError::Malformed);
}

async fn a_check_takes_one_trip(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let (tokens, revocations) = replica_on(&faulty.store(), &world.clock);
    let (token, verified) = issue(&tokens, "alice");
    assert_eq!(faulty.trips(), 0, "issue and verify ask nobody");
    revocations.verify(&token).await.unwrap();
    assert_eq!(faulty.trips(), 1);
    revocations.revoke(&verified).await.unwrap();
    assert_eq!(faulty.trips(), 1);
    revocations.revoke_subject("alice").await.unwrap();
    assert_eq!(faulty.trips(), 2);
}

async fn a_token_that_could_not_be_revoked_is_refused(world: World) {
    let (tokens, revocations) = replica(&world);
    for (claims, name) in [(NO_JTI, "jti"), (NO_IAT, "iat")] {
        let token = format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{claims}");
        let verified = tokens.verify(&token).unwrap();
        assert_eq!(verified.subject, "alice");
        assert_eq!(refusal(revocations.verify(&token).await), TokenError::InvalidClaims, "{name}");
        let revoked = revocations.revoke(&verified).await.map_err(|error| error.kind());
        assert_eq!(revoked.err(), (name == "jti").then_some(ErrorKind::Invalid));
    }
}

async fn a_subjects_token_from_within_the_second_is_revoked_too(world: World) {
    let (_, revocations) = replica(&world);
    world.clock.advance(Duration::from_millis(300));
    let token = format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{FRACTION}");
    assert!(revocations.verify(&token).await.is_ok());
    revocations.revoke_subject("alice").await.unwrap();
    assert_eq!(refusal(revocations.verify(&token).await), TokenError::Revoked);
}

/// `{"iss":"shop","sub":"alice","jti":"x","iat":1700000000.2,"exp":1700000500}`, signed with
/// `[7; 32]`.
const FRACTION: &str = "eyJpc3MiOiJzaG9wIiwic3ViIjoiYWxpY2UiLCJqdGkiOiJ4IiwiaWF0IjoxNzAwMDAwMD\
    AwLjIsImV4cCI6MTcwMDAwMDUwMH0.8RQsIPYA0iRrtc9HdwzMpaBrNGBXl5yq56mx1Gk7\
    QWg";

/// `{"iss":"shop","sub":"alice","iat":1700000000,"exp":1700000500}`, signed with `[7; 32]`.
const NO_JTI: &str = "eyJpc3MiOiJzaG9wIiwic3ViIjoiYWxpY2UiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAw\
    MDUwMH0.EoHrsGgPurJZGcLPMR7NdpVRIIFXulWdJBrcdDryKnU";

/// `{"iss":"shop","sub":"alice","jti":"x","exp":1700000500}`, signed with `[7; 32]`.
const NO_IAT: &str = "eyJpc3MiOiJzaG9wIiwic3ViIjoiYWxpY2UiLCJqdGkiOiJ4IiwiZXhwIjoxNzAwMDAwNTAwfQ.T\
    iyraI3l2aM0Bgo3K68Sfo2isxL1mdmHO71Bowcs1FM";

/// tokenkit drops old revocations when it is full, and the tokens live again.
#[test]
fn a_backend_that_drops_entries_is_refused_unless_it_is_accepted_in_so_many_words() {
    let (memory, redb) = (World::memory(), World::redb());
    let error = Revocations::new(&memory.store, &tokens_at(&memory.clock)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("best_effort"), "{error}");
    assert!(Revocations::new(&redb.store, &tokens_at(&redb.clock)).is_ok());
}

#[tokio::test]
async fn neither_issuers_nor_ids_run_into_each_other() {
    let world = World::redb();
    let named = |issuer: &str| {
        let key = Key::hs256(&[7; 32]).unwrap();
        let tokens = Tokens::builder(issuer, key).any_audience().clock(world.clock.clone());
        let tokens = tokens.build().unwrap();
        (tokens.clone(), Revocations::new(&world.store, &tokens).unwrap())
    };
    let ((shop, one), (shop_a, two)) = (named("shop"), named("shopa"));
    let token = |tokens: &Tokens, id: &str| {
        let token = tokens.issue(&Claims::new("alice").id(id), SECOND).unwrap();
        tokens.verify(&token).unwrap()
    };
    one.revoke(&token(&shop, "ab")).await.unwrap();
    assert!(one.check(&token(&shop, "ab")).await.is_err());
    assert!(one.check(&token(&shop, "a")).await.is_ok());
    assert!(two.check(&token(&shop_a, "b")).await.is_ok());
    assert!(two.check(&token(&shop_a, "ab")).await.is_ok());
    one.revoke_subject("alice").await.unwrap();
    assert!(two.check(&token(&shop_a, "b")).await.is_ok());
}

#[tokio::test]
async fn the_kind_of_key_is_the_librarys_own() {
    let world = World::memory();
    let group = steadfast::backend::Group::new("g").unwrap();
    assert!(world.store.key("revocation", &group, "subject").is_err());
    let _shareable: Arc<dyn Send + Sync> = Arc::new(replica(&world).1);
}
