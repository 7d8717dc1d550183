//! P10: unknown, newer or corrupt records are kept and reported, never overwritten or treated as
//! absent.

use steadfast::Store;
use steadfast::backend::{Bytes, ErrorKind, Key, ScanRequest, Write};
use steadfast::session::SessionError;

use crate::world::{Basket, Receipt, World, on_every_backend, on_redis, pay};

on_every_backend!(an_unreadable_session_is_kept, an_unreadable_claim_is_kept);

on_redis!(an_unreadable_session_is_kept, an_unreadable_claim_is_kept);

/// Damage in each part of the envelope, by the offset of a byte.
const DAMAGE: [usize; 6] = [0, 2, 3, 5, 7, 33];

async fn an_unreadable_session_is_kept(world: World) {
    let sessions = world.sessions();
    for at in DAMAGE {
        let id = sessions.create(Basket { items: vec![1, 2, 3] }).await.unwrap().id;
        let (key, damaged) = damage_the_only_record(&world, at).await;
        let error = sessions.load(&id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
        let error = sessions.update(&id, |basket| basket.items.clear()).await.unwrap_err();
        assert!(matches!(error, SessionError::Store(error) if error.kind() == ErrorKind::Corrupt));
        assert_eq!(stored(&world, &key).await, damaged, "byte {at}");
        world.store.delete(&key).await.unwrap();
    }
}

async fn an_unreadable_claim_is_kept(world: World) {
    let payments = world.payments().build().unwrap();
    for at in DAMAGE {
        let claim = crate::world::acquired(pay(&payments).await.unwrap());
        let (key, damaged) = damage_the_only_record(&world, at).await;
        assert_eq!(pay(&payments).await.unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        let error = claim.complete(&Receipt::new("1")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
        assert_eq!(stored(&world, &key).await, damaged, "byte {at}");
        world.store.delete(&key).await.unwrap();
    }
}

async fn damage_the_only_record(world: &World, at: usize) -> (Key, Bytes) {
    let namespace = steadfast::backend::Namespace::new("app").unwrap();
    let limit = std::num::NonZeroUsize::new(10).unwrap();
    let page = world.backend.scan(ScanRequest { namespace, after: None, limit }).await.unwrap();
    let [key] = &page.keys[..] else { panic!("{:?}", page.keys) };
    let mut bytes = stored(world, key).await.to_vec();
    bytes[at] ^= 0x40;
    let damaged = Bytes::from(bytes);
    let written = world.store.write(&Write::put(key.clone(), damaged.clone())).await.unwrap();
    assert!(written.is_applied());
    (key.clone(), damaged)
}

async fn stored(world: &World, key: &Key) -> Bytes {
    world.backend.get(key).await.unwrap().unwrap().value
}

/// Two builds of one service on one store: the older meets what the newer wrote.
#[tokio::test]
async fn a_newer_schema_is_kept_by_an_older_build() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct BasketV2 {
        items: Vec<u32>,
        coupon: String,
    }
    impl steadfast::State for BasketV2 {
        const SCHEMA: u16 = 2;
    }
    let world = World::memory();
    let store: &Store = &world.store;
    let key = store.key("basket", &steadfast::backend::Group::new("g").unwrap(), "one").unwrap();
    let newer = BasketV2 { items: vec![1], coupon: "spring".to_owned() };
    let put = store.put_write(&key, &newer).unwrap();
    assert!(store.write(&put).await.unwrap().is_applied());
    let before = stored(&world, &key).await;

    let error = store.get::<Basket>(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let clear = |basket: &mut Option<Basket>| *basket = None;
    let error = store.update(&key, None, clear).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(stored(&world, &key).await, before);
}
