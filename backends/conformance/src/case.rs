use std::future::Future;
use std::pin::Pin;

use steadfast_backend::{Durability, Transactions};

use crate::context::Context;
use crate::failure::Outcome;
use crate::suite::Settings;

pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One named piece of behaviour.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// `family::what_holds`.
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: for<'a> fn(&'a mut Context) -> Running<'a>,
}

impl Case {
    /// The first need that is not met.
    pub(crate) fn unmet(&self, settings: &Settings) -> Option<Need> {
        self.needs.iter().copied().find(|need| !need.is_met(settings))
    }
}

/// What a case asks of a backend or of its harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    AnyKeys,
    Damage,
    ManualTime,
    NoScan,
    NoTransactions,
    RealTime,
    SameGroupOnly,
    Scan,
    Survival,
    Transactions,
}

impl Need {
    fn is_met(self, settings: &Settings) -> bool {
        let (can, real_time) = (&settings.declared.capabilities, settings.real_time);
        match self {
            Self::AnyKeys => can.transactions == Transactions::Any,
            Self::Damage => settings.stored.is_some(),
            Self::ManualTime => !real_time,
            Self::NoScan => !can.scan,
            Self::NoTransactions => can.transactions == Transactions::None,
            Self::RealTime => real_time,
            Self::SameGroupOnly => can.transactions == Transactions::SameGroup,
            Self::Scan => can.scan,
            Self::Survival => can.durability != Durability::Process,
            Self::Transactions => can.transactions >= Transactions::SameGroup,
        }
    }

    /// As it stands in front of an ignored case.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::AnyKeys => "needs transactions over any keys",
            Self::Damage => "needs a harness that can damage what is stored",
            Self::ManualTime => "needs a clock that the suite can move",
            Self::NoScan => "for backends without scan",
            Self::NoTransactions => "for backends without transactions",
            Self::RealTime => "for suites on real time",
            Self::SameGroupOnly => "for transactions within one group",
            Self::Scan => "needs scan",
            Self::Survival => "needs durability beyond the process",
            Self::Transactions => "needs transactions",
        }
    }
}

/// Lists the cases of a family: `cases!("read": miss, paging [Scan])`.
macro_rules! cases {
    ($family:literal: $($name:ident $([$($need:ident),+])?),+ $(,)?) => {
        pub(crate) const CASES: &[$crate::case::Case] = &[$($crate::case::Case {
            name: concat!($family, "::", stringify!($name)),
            needs: &[$($($crate::case::Need::$need),+)?],
            run: |context| Box::pin($name(context)),
        }),+];
    };
}

pub(crate) use cases;
