// The sums of four columns of X threads side by side, in S parts.
var<workgroup> parts: array<vec4<f32>, {X * S}>;
