//! Whoever reads the store, or its backup, reads the sessions; whoever writes to it moves a record
//! to another session's key.

#![cfg(feature = "encrypt")]

use steadfast::backend::{ErrorKind, Write};
use steadfast::idempotency::{Begin, Completion};
use steadfast::session::Edit;
use steadfast::store::{SealingKeys, StoreBuilder};
use steadfast::{Idempotency, Store};

use crate::world::{
    Basket, Receipt, World, acquired, alice, on_every_backend, on_servers, pay, sessions,
    stored_bytes, unsigned_and_signed,
};

on_every_backend!(
    nothing_of_a_session_or_an_answer_is_readable,
    a_rotated_key_still_reads,
    a_record_does_not_open_under_another_key_or_header,
    a_sealed_store_refuses_a_planted_clear_record,
    a_store_that_was_begun_clear_changes_over,
    an_update_without_effect_writes_nothing_here_too,
    two_keys_of_one_id_are_refused_at_the_start,
);

on_servers!(
    a_rotated_key_still_reads,
    a_sealed_store_refuses_a_planted_clear_record,
    a_store_that_was_begun_clear_changes_over,
    an_update_without_effect_writes_nothing_here_too;
    nothing_of_a_session_or_an_answer_is_readable,
    a_record_does_not_open_under_another_key_or_header,
);

const CANARY: &str = "canary-7f3a";

fn builder(world: &World) -> StoreBuilder {
    Store::builder(world.backend.clone())
}

fn sealed(world: &World, keys: SealingKeys) -> Store {
    builder(world).sealed(keys).build().unwrap()
}

fn first_key() -> SealingKeys {
    SealingKeys::new(1, &[1; 32])
}

async fn nothing_of_a_session_or_an_answer_is_readable(world: World) {
    let store = sealed(&world, first_key());
    let sessions = sessions(&store);
    let id = sessions.sign_in(&alice(), CANARY, Basket::default()).await.unwrap().id;
    sessions.edit(&id, &Edit::new().set("secret", CANARY)).await.unwrap();
    let payments = Idempotency::<Receipt>::builder(&store).build().unwrap();
    let claim = acquired(pay(&payments).await.unwrap());
    let done = claim.complete(&Receipt::new(CANARY)).await.unwrap();
    assert!(matches!(done, Completion::Completed));

    let stored = stored_bytes(&world).await;
    assert_eq!(stored.len(), 4, "session, generation, list, claim");
    for (_key, bytes) in &stored {
        for clear in [CANARY, "alice", &id.expose()] {
            let found = bytes.windows(clear.len()).any(|window| window == clear.as_bytes());
            assert!(!found, "{clear}");
        }
    }
    assert_eq!(sessions.load(&id).await.unwrap().unwrap().attributes.len(), 1);
    let Begin::Replay(receipt) = pay(&payments).await.unwrap() else { panic!("no replay") };
    assert_eq!(receipt, Receipt::new(CANARY));
    assert!(!format!("{:?} {store:?}", first_key()).contains("[1, 1"));
}

async fn a_rotated_key_still_reads(world: World) {
    let before = sessions(&sealed(&world, first_key()));
    let id = before.create(Basket { items: vec![7] }).await.unwrap().id;
    let both = sessions(&sealed(&world, SealingKeys::new(2, &[2; 32]).and_old(1, &[1; 32])));
    both.update(&id, |basket| basket.items.push(8)).await.unwrap();
    // Written with the new key by now.
    let after = sessions(&sealed(&world, SealingKeys::new(2, &[2; 32])));
    assert_eq!(after.load(&id).await.unwrap().unwrap().state.items, [7, 8]);
    assert_eq!(before.load(&id).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let no_keys = world.sessions().load(&id).await.unwrap_err();
    assert!(no_keys.to_string().contains("encrypted"), "{no_keys}");
}

async fn a_record_does_not_open_under_another_key_or_header(world: World) {
    let store = sealed(&world, first_key());
    let sessions = sessions(&store);
    let mine = sessions.create(Basket { items: vec![1] }).await.unwrap().id;
    let theirs = sessions.create(Basket { items: vec![2] }).await.unwrap().id;
    let [(one, first), (other, second)] = &stored_bytes(&world).await[..] else { panic!("two") };
    for (key, bytes) in [(one, second), (other, first)] {
        let moved = Write::put(key.clone(), bytes.clone());
        assert!(store.write(&moved).await.unwrap().is_applied());
    }
    for id in [&mine, &theirs] {
        assert_eq!(sessions.load(id).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    // The life span in the header: a longer one, under a checksum that fits.
    let mut longer = first.to_vec();
    longer[22] = 0xff;
    let crc = crc32(&longer);
    longer[28..32].copy_from_slice(&crc.to_be_bytes());
    let write = Write::put(one.clone(), longer);
    assert!(store.write(&write).await.unwrap().is_applied());
    for id in [&mine, &theirs] {
        assert_eq!(sessions.load(id).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

fn crc32(envelope: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&envelope[..28]);
    hasher.update(&envelope[32..]);
    hasher.finalize()
}

async fn a_sealed_store_refuses_a_planted_clear_record(world: World) {
    let id = world.sessions().create(Basket::default()).await.unwrap().id;
    let error = sessions(&sealed(&world, first_key())).load(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("accept_clear"), "{error}");
}

async fn a_store_that_was_begun_clear_changes_over(world: World) {
    for id in unsigned_and_signed(&world.sessions()).await {
        let both = sessions(&sealed(&world, first_key().accept_clear()));
        both.update(&id, |basket| basket.items.push(1)).await.unwrap();
        assert_eq!(both.load(&id).await.unwrap().unwrap().state.items, [1]);
        assert_eq!(world.sessions().load(&id).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// Each encryption draws a new nonce, so the bytes alone do not tell.
async fn an_update_without_effect_writes_nothing_here_too(world: World) {
    let store = sealed(&world, first_key());
    let sessions = sessions(&store);
    let before = sessions.create(Basket::default()).await.unwrap();
    let changed = sessions.update(&before.id, |basket| basket.items.len()).await.unwrap();
    assert_eq!(changed.version, before.version);
    let key = store.key("basket", &alice().group(), "one").unwrap();
    let set = |basket: &mut Option<Basket>| *basket = Some(Basket { items: vec![1] });
    let first = store.update(&key, None, set).await.unwrap().version;
    assert_eq!(store.update(&key, None, set).await.unwrap().version, first);
}

async fn two_keys_of_one_id_are_refused_at_the_start(world: World) {
    let keys = first_key().and_old(1, &[2; 32]);
    assert_eq!(builder(&world).sealed(keys).build().unwrap_err().kind(), ErrorKind::Invalid);
}
