//! The cases, one file per family.

mod batches;
mod cancellation;
mod close;
mod conditions;
mod damage;
mod durability;
mod leaks;
mod limits;
mod model;
mod promise;
mod read;
mod scan;
mod transactions;
mod ttl;
mod versions;

use crate::case::Case;

pub(crate) fn all() -> impl Iterator<Item = Case> {
    let families = [
        promise::CASES,
        read::CASES,
        conditions::CASES,
        versions::CASES,
        ttl::CASES,
        limits::CASES,
        batches::CASES,
        transactions::CASES,
        scan::CASES,
        cancellation::CASES,
        close::CASES,
        durability::CASES,
        damage::CASES,
        leaks::CASES,
        model::CASES,
    ];
    families.into_iter().flatten().copied()
}
