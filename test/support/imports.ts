/** Reads which file imports which, for the architecture test: static, bare, dynamic and re-exporting imports, types included. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export interface Import {
  from: string;
  /** A path inside the repository, or the name of a package ("node:fs", "kysely"). */
  to: string;
  isPackage: boolean;
  isTypeOnly: boolean;
}

/** All source files below a folder of the repository, as paths relative to its root. */
export function sourceFiles(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => /\.(ts|mjs)$/.test(path) && !/node_modules|\/dist\//.test(path) && !path.endsWith('.d.ts'));
}

export function importsOfFile(root: string, file: string): Import[] {
  return importsOf(file, readFileSync(join(root, file), 'utf8'));
}

/** @param file path relative to the root. @param text its source. */
export function importsOf(file: string, text: string): Import[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
  const found: Import[] = [];
  const add = (specifier: string, isTypeOnly: boolean) => {
    const isPackage = !specifier.startsWith('.');
    const to = isPackage ? packageOf(specifier) : normalize(join(dirname(file), specifier.replace(/\?.*$/, '')));
    found.push({ from: file, to, isPackage, isTypeOnly });
  };
  for (const [, type, names, specifier] of code.matchAll(/\b(?:import|export)\s+(type\s)?([^'"();]*?)from\s*['"]([^'"]+)['"]/g)) {
    if (specifier) add(specifier, type !== undefined || areAllTypes(names ?? ''));
  }
  for (const [, specifier] of code.matchAll(/\bimport\s*['"]([^'"]+)['"]/g)) if (specifier) add(specifier, false);
  for (const [, specifier] of code.matchAll(/\bimport\s*\(\s*['"]([^'"]+)['"]/g)) if (specifier) add(specifier, false);
  for (const [, specifier] of code.matchAll(/new URL\(\s*['"](\.[^'"]+\.ts)['"]\s*,\s*import\.meta\.url/g))
    if (specifier) add(specifier, false);
  return found;
}

function areAllTypes(names: string): boolean {
  const listed = /^\{([\s\S]*)\}\s*$/.exec(names.trim())?.[1];
  if (listed === undefined) return false;
  const parts = listed
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
  return parts.length > 0 && parts.every((part) => part.startsWith('type '));
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
