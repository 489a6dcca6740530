// Compiles every .wgsl file of a folder with Tint, and fails if it refuses one.
//
//     node check.mjs FOLDER
//
// naga accepts barriers and subgroup operations in flow that is not uniform, which Tint refuses. Texts that
// use native halves are left out, and counted, where the adapter has none.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const folder = process.argv[2];
// Kept by name: Dawn crashes when it is collected before its adapters.
const gpu = create(['enable-dawn-features=allow_unsafe_apis']);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error('Dawn finds no adapter; SwiftShader will do: see scripts/other_adapters.sh');
const wanted = ['shader-f16', 'subgroups'].filter((feature) => adapter.features.has(feature));
const device = await adapter.requestDevice({ requiredFeatures: wanted });

let compiled = 0;
let left = 0;
const refused = [];
for (const file of readdirSync(folder).filter((name) => name.endsWith('.wgsl'))) {
  let code = readFileSync(join(folder, file), 'utf8');
  const halves = code.startsWith('enable f16;');
  const subgroups = code.includes('subgroup_invocation_id');
  if ((halves && !wanted.includes('shader-f16')) || (subgroups && !wanted.includes('subgroups'))) {
    left += 1;
    continue;
  }
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
console.log(`${adapter.info.description}: ${compiled} texts compiled, ${refused.length} refused, ${left} left out`);
process.exit(refused.length > 0 || compiled === 0 ? 1 : 0);
