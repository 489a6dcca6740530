//! Safetensors as weights (`--init`) and as data: what is read and written back reads as the same, to the bit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::storage::{NamedTensor, TensorFile, load_tensors, read_arrays, read_tensors, save_tensors};
use plimsoll_fuzz::{folder, name, nothing_but};

fuzz_target!(|data: &[u8]| {
    plimsoll_fuzz::within(data.len(), 64, || {
        let arrays = read_arrays(name(), &mut &*data, data.len() as u64);
        let Ok(file) = read_tensors(name(), &mut &*data, data.len() as u64) else { return };
        assert_eq!(bits(&arrays.expect("data may be weights")), bits(&file));
        let mut tensors: Vec<NamedTensor<'_>> = Vec::new();
        for (name, (shape, elements)) in &file.tensors {
            assert_eq!(shape.iter().product::<u64>(), elements.len() as u64);
            tensors.push((name.clone(), shape.clone(), elements));
        }
        let path = folder().join("x");
        save_tensors(&path, &tensors, &file.metadata).expect("what was read can be written");
        let again = load_tensors(&path).expect("what was written can be read");
        assert_eq!(bits(&again), bits(&file));
        let wanted: Vec<_> = tensors.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
        file.matching(&wanted).expect("a file has what it has");
        nothing_but(&["x"]);
    });
});

/// Names, shapes and bits, as NaN is not equal to itself.
fn bits(file: &TensorFile) -> Vec<(&String, &Vec<u64>, Vec<u32>)> {
    let bits = |elements: &Vec<f32>| elements.iter().map(|x| x.to_bits()).collect();
    file.tensors.iter().map(|(name, (shape, elements))| (name, shape, bits(elements))).collect()
}
