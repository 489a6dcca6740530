// Compiles every .wgsl file of a folder with Tint, and fails if it refuses one.
//
//     node check.mjs FOLDER
//
// naga accepts barriers and subgroup operations in flow that is not uniform, which Tint refuses. A text is compiled
// for Dawn's own null adapter, which runs nothing and has every feature: halves and subgroups are none of any driver's.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const folder = process.argv[2];
const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ['shader-f16', 'subgroups'] });
// Dawn crashes when one of these is collected before what came of it.
globalThis.kept = [gpu, adapter, device];

let compiled = 0;
const refused = [];
for (const file of readdirSync(folder).filter((name) => name.endsWith('.wgsl'))) {
  let code = readFileSync(join(folder, file), 'utf8');
  const subgroups = code.includes('subgroup_invocation_id');
  // naga wants no word for subgroups, Tint does.
  if (subgroups) code = `enable subgroups;\n${code}`;
  device.pushErrorScope('validation');
  const info = await device.createShaderModule({ code, label: file }).getCompilationInfo();
  await device.popErrorScope();
  const errors = info.messages.filter((message) => message.type === 'error');
  if (errors.length > 0) refused.push(`${file}:${errors[0].lineNum}: ${errors[0].message}`);
  compiled += 1;
}
console.log(refused.join('\n'));
console.log(`${compiled} texts compiled, ${refused.length} refused`);
process.exit(refused.length > 0 || compiled === 0 ? 1 : 0);
