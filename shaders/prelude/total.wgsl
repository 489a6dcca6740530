var<workgroup> shared_sums: array<f32, 64>;

fn total(lane: u32, part: f32) -> f32 {
    shared_sums[lane] = part;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach { shared_sums[lane] += shared_sums[lane + reach]; }
        workgroupBarrier();
    }
    let sum = shared_sums[0];
    workgroupBarrier();
    return sum;
}
