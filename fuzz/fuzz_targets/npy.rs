//! `.npy` files: an array has as many elements as its shape says, in either order of its dimensions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::data::npy::parse;
use plimsoll_fuzz::name;

fuzz_target!(|data: &[u8]| {
    let array = plimsoll_fuzz::within(data.len(), 64, || parse(data, name(), data.len() as u64));
    let Ok(array) = array else { return };
    assert_eq!(array.shape.iter().product::<usize>(), array.elements.len());
    let ids = array.clone().into_ids("the input", "x", true);
    assert!(ids.is_err() || ids.is_ok_and(|ids| ids.len() == array.elements.len()));
    assert_eq!(array.clone().into_numbers().len(), array.elements.len());
});
