//! Code of users, checked by loom: a ledger of whole bookings, and a bank whose sum nobody ever sees changed.
//!
//! `perennial::docs::loom` tells how to do the same elsewhere, by the example of the ledger.

use loom_tests::{Arc, model, thread};
use perennial::storage::MemoryStorage;
use perennial::store::{Durability, Error, Store};
use perennial::{HashMap, State, Vector};
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Ledger {
    entries: Vector<u32>,
    sum: u32,
}

fn book(ledger: &State<Ledger>, amount: u32) {
    ledger.update(|ledger| {
        ledger.entries.push_back(amount);
        ledger.sum += amount;
    });
}

#[test]
fn a_checkpoint_holds_whole_bookings() {
    model(|| {
        let store = store();
        let ledger = Arc::new(State::new(Ledger::default()));
        let clerk = thread::spawn({
            let ledger = Arc::clone(&ledger);
            move || book(&ledger, 3)
        });
        book(&ledger, 4);
        store.checkpoint(&*ledger.snapshot()).unwrap();
        clerk.join().unwrap();

        let saved: Ledger = store.latest().unwrap().unwrap();
        assert_eq!(saved.entries.iter().sum::<u32>(), saved.sum);
        assert!(saved.sum == 4 || saved.sum == 7);
        assert_eq!(ledger.load().sum, 7);
    });
}

fn store() -> Store {
    let storage = std::sync::Arc::new(MemoryStorage::new());
    Store::options().segment_bytes(0).durability(Durability::Buffered).open_storage(storage).unwrap()
}

#[derive(Clone, Serialize, Deserialize)]
struct Bank {
    accounts: HashMap<u8, u32>,
    transfers: u32,
}

impl Bank {
    fn sum(&self) -> u32 {
        self.accounts.values().sum()
    }
}

/// The part that several threads share.
struct Service {
    bank: State<Bank>,
    store: Store,
}

impl Service {
    fn transfer(&self, from: u8, to: u8, amount: u32) -> Result<(), &'static str> {
        self.bank.try_update(|bank| {
            let left = bank.accounts[&from].checked_sub(amount).ok_or("too little")?;
            bank.accounts.insert(from, left);
            *bank.accounts.get_mut(&to).ok_or("no such account")? += amount;
            bank.transfers += 1;
            Ok(())
        })
    }

    fn save(&self) -> Result<(), Error> {
        self.store.checkpoint(&*self.bank.snapshot()).map(drop)
    }
}

#[test]
fn money_is_neither_made_nor_lost() {
    model(|| {
        let bank = Bank { accounts: HashMap::from([(1, 10), (2, 10)]), transfers: 0 };
        let service = Arc::new(Service { bank: State::new(bank), store: store() });
        let other = thread::spawn({
            let service = Arc::clone(&service);
            move || {
                // Refused, unless the transfer back came first.
                let refused = service.transfer(2, 1, 15).is_err();
                assert_eq!(service.bank.load().sum(), 20);
                refused
            }
        });
        service.transfer(1, 2, 5).unwrap();
        service.save().unwrap();
        let refused = other.join().unwrap();
        let saved: Bank = service.store.latest().unwrap().expect("it was saved");
        assert_eq!(saved.sum(), 20, "a checkpoint holds half a transfer");
        assert!((1..=2).contains(&saved.transfers));
        assert_eq!(service.bank.load().accounts[&2], if refused { 15 } else { 0 });
    });
}
