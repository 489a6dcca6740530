// scaler = (scale, steps since it changed, steps applied, steps skipped), after a step whose gradients were
// finite, or not, which the clip factor tells: it is then below 0.
// scalars = (lr, c1, c2, beta1, first step, 0, canary, canary) with c1, c2 and the first step told from the
// steps applied, and the first canary from the second, so that who reads it knows that this has run

struct Params { corrects: u32, interval: u32, log_beta2: f32, growth: f32, backoff: f32, least: f32, most: f32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> norm: array<f32>;    // norm, clip factor
@group(0) @binding(1) var<storage, read_write> scalars: array<f32>; // (8)
@group(0) @binding(2) var<storage, read_write> scaler: array<f32>;  // (4)

// 1 / (1 - e^x) for x below 0; near 0 by the series of e^x - 1, which does not cancel.
fn correction(x: f32) -> f32 {
    let near = -x * (1.0 + x * (0.5 + x * (0.16666667 + x * 0.041666668)));
    return 1.0 / select(1.0 - exp(x), near, x > -0.1);
}

@compute @workgroup_size(1)
fn loss_scaler() {
    let applied = scaler[2];
    if p.corrects != 0u {
        let beta1 = scalars[3];
        scalars[1] = 1.0;
        if beta1 > 0.0 { scalars[1] = correction((applied + 1.0) * log(beta1)); }
        scalars[2] = correction((applied + 1.0) * p.log_beta2);
    }
    scalars[4] = select(0.0, 1.0, applied == 0.0);
    scalars[6] = scalars[7];
    if norm[1] < 0.0 {
        scaler[0] = max(p.least, scaler[0] * p.backoff);
        scaler[1] = 0.0;
        scaler[3] += 1.0;
        return;
    }
    scaler[1] += 1.0;
    scaler[2] = applied + 1.0;
    if p.interval != 0u && scaler[1] >= f32(p.interval) {
        scaler[0] = min(p.most, scaler[0] * p.growth);
        scaler[1] = 0.0;
    }
}
