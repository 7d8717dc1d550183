//! What a customer has: a cart and orders, in one record, so that a checkout is one atomic change
//! on any store.

use std::collections::VecDeque;

use poem::Response;
use serde::{Deserialize, Serialize};
use steadfast::backend::{Clock as _, Key, SystemClock, Transactions};
use steadfast::http::{Execution, Problem};
use steadfast::schema::Older;
use steadfast::store::Freshness;
use steadfast::{Principal, Result, State, Store};

use crate::app;

/// A number of one product.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) qty: u64,
}

/// What was bought at once.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    #[serde(rename = "order_id")]
    pub(crate) id: String,
    pub(crate) items: Vec<Item>,
    pub(crate) total_qty: u64,
}

/// One customer's record.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) cart: Vec<Item>,
    /// All of them, in the order in which the store took them.
    pub(crate) orders: Vec<Order>,
    /// The executions that last added to the cart, the newest last: one that runs again, because
    /// its process died before the answer was kept, must not add again. Empty where the store
    /// commits change and answer together.
    added: VecDeque<String>,
    /// Of the cart: another one after each change, and greater. 0 for a customer without a record.
    pub(crate) version: u64,
}

/// More than requests of one customer that can come between the death of a process and the retry of
/// its request.
const ADDED_MAX: usize = 64;

impl State for Account {
    const SCHEMA: u16 = 2;

    fn upcast(older: Older<'_>) -> Result<Self> {
        let AccountV1 { cart, orders, added } = older.read()?;
        Ok(Self { cart, orders, added, version: 1 })
    }
}

/// It had the record's version.
#[derive(Serialize, Deserialize)]
struct AccountV1 {
    cart: Vec<Item>,
    orders: Vec<Order>,
    added: VecDeque<String>,
}

impl State for AccountV1 {
    const SCHEMA: u16 = 1;
}

impl Account {
    /// Adds to the cart, unless this execution has done it before.
    pub(crate) fn add(&mut self, item: &Item, effect: &Effect<'_>) {
        if self.added.iter().any(|earlier| earlier == effect.id) {
            return;
        }
        match self.cart.iter_mut().find(|present| present.sku == item.sku) {
            Some(present) => present.qty = present.qty.saturating_add(item.qty),
            None => self.cart.push(item.clone()),
        }
        if effect.commits_with_answer {
            // What an earlier build has kept is forgotten one by one, as it was there.
            self.added.pop_front();
        } else {
            self.added.push_back(effect.id.to_owned());
            self.added.drain(..self.added.len().saturating_sub(ADDED_MAX));
        }
        self.version = effect.now_us.max(self.version + 1);
    }

    pub(crate) fn order(&self, id: &str) -> Option<&Order> {
        self.orders.iter().find(|order| order.id == id)
    }

    /// Turns the cart into an order.
    pub(crate) fn check_out(&mut self, effect: &Effect<'_>) -> Order {
        let items = std::mem::take(&mut self.cart);
        let total_qty = items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.qty));
        let order = Order { id: effect.id.to_owned(), items, total_qty };
        self.orders.push(order.clone());
        self.version = effect.now_us.max(self.version + 1);
        order
    }
}

/// The change that one execution makes.
pub(crate) struct Effect<'a> {
    pub(crate) id: &'a str,
    /// What a version is made from, so that an account that the store lost does not get its old
    /// ones again.
    now_us: u64,
    commits_with_answer: bool,
}

/// The accounts in a store.
#[derive(Clone)]
pub(crate) struct Shop {
    store: Store,
    clock: SystemClock,
}

impl Shop {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, clock: SystemClock::start() }
    }

    /// The account to be shown, and how old it is.
    pub(crate) async fn account(&self, customer: &Principal) -> Result<(Account, Freshness)> {
        let record = self.store.get_as(&self.key(customer)?, app::reads()).await?;
        Ok(record.map_or_else(Default::default, |record| (record.value, record.freshness)))
    }

    /// Changes an account and answers, never losing what others change at the same time: in one
    /// commit, where the store can do that, unless the answer shall be `apart`. Then a second run
    /// may come in between, which must find what the first one did by the id of the effect.
    pub(crate) async fn change(
        &self,
        customer: &Principal,
        execution: &Execution,
        apart: bool,
        mut change: impl FnMut(&mut Account, &Effect<'_>) -> Response,
    ) -> std::result::Result<Response, Problem> {
        let transactions = self.store.info().capabilities.transactions;
        let effect = Effect {
            id: execution.effect_id(),
            now_us: self.clock.now_us(),
            commits_with_answer: !apart && transactions >= Transactions::SameGroup,
        };
        let key = self.key(customer)?;
        let change = |account: &mut Option<Account>| {
            let present = account.get_or_insert_default();
            let response = change(present, &effect);
            if present.version == 0 {
                *account = None;
            }
            response
        };
        if apart {
            return Ok(self.store.update(&key, None, change).await?.output);
        }
        execution.complete_with_update(&self.store, &key, change).await
    }

    fn key(&self, customer: &Principal) -> Result<Key> {
        self.store.key("account", &customer.group(), "shop")
    }
}

#[cfg(test)]
mod tests {
    use steadfast::backend::Group;

    use super::*;

    const ITEM: fn() -> Item = || Item { sku: "a".to_owned(), qty: 1 };

    async fn store() -> (Store, Key) {
        let store = Store::builder(steadfast::connect("memory:").await.unwrap()).build().unwrap();
        let key = store.key("account", &Group::new("alice").unwrap(), "shop").unwrap();
        (store, key)
    }

    #[test]
    fn an_account_keeps_no_more_ids_of_former_calls_than_it_needs() {
        for (commits_with_answer, kept) in [(true, 0), (false, ADDED_MAX)] {
            let mut account = Account::default();
            for n in 1..=500 {
                let id = format!("effect-{n}");
                let effect = Effect { id: &id, now_us: 7, commits_with_answer };
                account.add(&ITEM(), &effect);
                if !commits_with_answer {
                    account.add(&ITEM(), &effect);
                }
                assert_eq!((account.cart[0].qty, account.version), (n, 6 + n));
            }
            assert_eq!(account.added.len(), kept);
        }
    }

    /// What an earlier build wrote, with an execution in it that runs again.
    #[tokio::test]
    async fn an_account_of_an_earlier_build_is_read_and_what_it_counted_counts_once() {
        let (store, key) = store().await;
        let old = AccountV1 {
            cart: vec![ITEM()],
            orders: vec![Order { id: "o".to_owned(), items: vec![ITEM()], total_qty: 1 }],
            added: VecDeque::from(["x".to_owned(), "y".to_owned()]),
        };
        assert!(store.write(&store.put_write(&key, &old).unwrap()).await.unwrap().is_applied());
        for (id, qty) in [("y", 1), ("x", 1), ("new", 2), ("y", 2)] {
            let effect = Effect { id, now_us: 7, commits_with_answer: true };
            let add = |account: &mut Option<Account>| {
                account.as_mut().unwrap().add(&ITEM(), &effect);
            };
            store.update(&key, None, add).await.unwrap();
            let account = store.get::<Account>(&key).await.unwrap().unwrap().value;
            assert_eq!((account.cart[0].qty, account.orders.len()), (qty, 1), "{id}");
        }
    }
}
