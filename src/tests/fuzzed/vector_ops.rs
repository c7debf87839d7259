//! Any sequence of edits of a vector and its versions, against `Vec`, with checkpoints between.

use arbitrary::Arbitrary;
use perennial::Vector;

use super::versions::Versions;

/// One of them.
#[derive(Arbitrary, Debug)]
pub enum Op {
    Fill(u8),
    PushBack(u32),
    PushFront(u32),
    PopBack,
    PopFront,
    Insert(u16, u32),
    Remove(u16),
    Set(u16, u32),
    Rotate(u16),
    Double,
    Truncate(u16),
    Splice(u16, u16, u8),
    ExtractIf(u16, u16, u8),
    RangeMut(u16, u16, u32),
    Sort,
    Dedup,
    Reverse,
    Retain(u32),
    Cursor(u16, Vec<(u8, u16)>),
    Keep,
    GoBack(u8),
    Checkpoint,
}

const MOST: usize = 1 << 16;

/// Runs them.
pub fn run(ops: Vec<Op>) {
    let (mut vector, mut model) = (Vector::<u32>::new(), Vec::<u32>::new());
    let mut versions = Versions::new(&vector, &model);
    for op in ops {
        let len = model.len();
        let at = |index: u16, len: usize| usize::from(index) % len.max(1);
        match op {
            Op::Fill(count) => {
                vector.extend(0..u32::from(count));
                model.extend(0..u32::from(count));
            }
            Op::PushBack(item) => (vector.push_back(item), model.push(item)).1,
            Op::PushFront(item) => (vector.push_front(item), model.insert(0, item)).1,
            Op::PopBack => assert_eq!(vector.pop_back(), model.pop()),
            Op::PopFront => {
                let first = (len > 0).then(|| model.remove(0));
                assert_eq!(vector.pop_front(), first);
            }
            Op::Insert(index, item) => {
                vector.insert(at(index, len + 1), item);
                model.insert(at(index, len + 1), item);
            }
            Op::Remove(index) if len > 0 => {
                assert_eq!(vector.remove(at(index, len)), model.remove(at(index, len)))
            }
            Op::Set(index, item) if len > 0 => {
                vector.set(at(index, len), item);
                model[at(index, len)] = item;
            }
            Op::Rotate(index) => {
                let mut tail = vector.split_off(at(index, len + 1));
                tail.append(&mut vector);
                vector = tail;
                model.rotate_left(at(index, len + 1));
            }
            Op::Double if len < MOST => {
                vector.append(&mut vector.clone());
                model.extend_from_within(..);
            }
            Op::Truncate(index) => {
                vector.truncate(at(index, len + 1));
                model.truncate(at(index, len + 1));
            }
            Op::Splice(a, b, count) => {
                let (a, b) = (at(a, len + 1), at(b, len + 1));
                let range = a.min(b)..a.max(b);
                let gone = vector.splice(range.clone(), 0..u32::from(count));
                assert!(gone.eq(model.splice(range, 0..u32::from(count))));
            }
            Op::ExtractIf(a, b, bits) => {
                let (a, b) = (at(a, len + 1), at(b, len + 1));
                let range = a.min(b)..a.max(b);
                let gone = vector.extract_if(range.clone(), |item| *item & u32::from(bits) == 0);
                let gone: Vec<u32> = gone.take(100).collect();
                assert!(model.extract_if(range, |item| *item & u32::from(bits) == 0).take(100).eq(gone));
            }
            Op::RangeMut(a, b, item) => {
                let (a, b) = (at(a, len + 1), at(b, len + 1));
                let range = a.min(b)..a.max(b);
                vector.range_mut(range.clone()).rev().for_each(|place| *place ^= item);
                model[range].iter_mut().for_each(|place| *place ^= item);
            }
            Op::Sort => (vector.sort(), model.sort()).1,
            Op::Dedup => (vector.dedup(), model.dedup()).1,
            Op::Reverse => (vector.reverse(), model.reverse()).1,
            Op::Retain(bits) => {
                vector.retain(|item| item & bits == 0);
                model.retain(|item| item & bits == 0);
            }
            Op::Cursor(index, steps) => {
                let mut place = at(index, len + 1);
                let mut cursor = vector.cursor_mut(place);
                for (what, n) in steps {
                    match what % 4 {
                        0 => {
                            cursor.insert_before(n.into());
                            model.insert(place, n.into());
                            place += 1;
                        }
                        1 => {
                            let gone = (place < model.len()).then(|| model.remove(place));
                            assert_eq!(cursor.remove_next(), gone);
                        }
                        2 => place += usize::from(cursor.move_next()),
                        _ => {
                            place = at(n, model.len() + 1);
                            cursor.seek(place);
                        }
                    }
                    assert_eq!((cursor.index(), cursor.peek_next()), (place, model.get(place)));
                }
            }
            Op::Keep => versions.keep(&vector, &model),
            Op::GoBack(index) => (vector, model) = versions.kept(index).clone(),
            Op::Checkpoint => versions.checkpoint(&vector, &model),
            _ => {}
        }
        assert_eq!(vector.len(), model.len());
    }
    versions.finish(&vector, &model, |vector, model| vector.iter().eq(model));
}
