use std::time::Duration;

use steadfast::Tokens;
use steadfast::backend::{Condition, Group, ManualClock, Version, Write};
use steadfast::token::{Claims, Key, Revocations};

use super::{World, unconfirmed, where_writes_wait};
use crate::world::Basket;

where_writes_wait!(
    a_record_that_is_not_confirmed_is_not_acknowledged,
    a_refusal_that_is_not_confirmed_is_not_told,
    a_revocation_that_is_not_confirmed_is_not_acknowledged,
);

async fn a_record_that_is_not_confirmed_is_not_acknowledged(world: World) {
    let (here, there) = (&world.waiting, &world.plain);
    let key = |name: &str| here.key("basket", &Group::new("alice").unwrap(), name).unwrap();
    let (one, two) = (key("one"), key("two"));
    let put = |key| here.put_write(key, &Basket::default()).unwrap();
    let fill = |basket: &mut Option<Basket>| *basket = Some(Basket { items: vec![1] });
    world.lose();
    unconfirmed!(here.write(&put(&one)));
    unconfirmed!(here.set(&one, &Basket::default(), None));
    unconfirmed!(here.update_with(&one, |draft| draft.value = Some(Basket::default())));
    unconfirmed!(here.update(&one, None, fill));
    unconfirmed!(here.update(&one, None, fill));
    assert_eq!(there.get::<Basket>(&one).await.unwrap().unwrap().value.items, [1]);
    unconfirmed!(here.write(&Write::touch(one.clone(), None)));
    unconfirmed!(here.write(&Write::check(one.clone(), Condition::Present)));
    unconfirmed!(here.update(&one, None, |basket: &mut Option<Basket>| *basket = None));
    unconfirmed!(here.update(&one, None, |basket: &mut Option<Basket>| *basket = None));
    unconfirmed!(here.delete(&one));
    unconfirmed!(here.transact(&[put(&one), put(&two)]));
    unconfirmed!(here.transact(&[Write::check(one.clone(), Condition::Present)]));
    unconfirmed!(here.transact(&[Write::delete(one.clone()), Write::delete(two.clone())]));
    unconfirmed!(here.transact(&[Write::delete(one.clone()), Write::delete(two.clone())]));
    unconfirmed!(here.delete(&key("nothing")));
}

/// What refuses it may be its own first attempt, and it may be lost.
async fn a_refusal_that_is_not_confirmed_is_not_told(world: World) {
    let (here, there) = (&world.waiting, &world.plain);
    let key = |name: &str| here.key("basket", &Group::new("alice").unwrap(), name).unwrap();
    let put = |name| here.put_write(&key(name), &Basket::default()).unwrap();
    assert!(there.write(&put("there")).await.unwrap().is_applied());
    let claim = put("there").only_if(Condition::Absent);
    assert!(!here.write(&claim).await.unwrap().is_applied(), "as long as it is confirmed");
    world.lose();
    unconfirmed!(here.write(&claim));
    unconfirmed!(here.transact(&[put("other"), claim.clone()]));
    assert!(there.get::<Basket>(&key("other")).await.unwrap().is_none());
    let present = put("nothing").only_if(Condition::Present);
    unconfirmed!(here.write(&present));
    unconfirmed!(here.transact(std::slice::from_ref(&present)));
    unconfirmed!(here.write(&Write::touch(key("nothing"), None)));
    let deleted = Write::delete(key("there")).only_if(Condition::VersionIs(Version::MIN));
    unconfirmed!(here.write(&deleted));
}

async fn a_revocation_that_is_not_confirmed_is_not_acknowledged(world: World) {
    let clock = ManualClock::at_us(1_700_000_000_000_000);
    let tokens = Tokens::builder("shop", Key::hs256(&[7; 32]).unwrap()).any_audience();
    let tokens = tokens.clock(clock).build().unwrap();
    let token = tokens.issue(&Claims::new("alice"), Duration::from_secs(600)).unwrap();
    let token = tokens.verify(&token).unwrap();
    let revocations = Revocations::new(&world.waiting, &tokens).unwrap();
    world.lose();
    unconfirmed!(revocations.revoke(&token));
    unconfirmed!(revocations.revoke(&token));
    unconfirmed!(revocations.revoke_subject("alice"));
    // Within the same second there is nothing left to change.
    unconfirmed!(revocations.revoke_subject("alice"));
}
