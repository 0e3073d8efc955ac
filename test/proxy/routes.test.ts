import { describe, expect, it } from 'vitest';
import { nameRequest, readForm, readTarget, writeForm } from '../../proxy/routes.ts';

const route = (method: string, path: string, tool: string, risk?: 'green' | 'yellow' | 'red') => ({
  method,
  path,
  tool,
  ...(risk && { risk }),
});
const api = {
  name: 'api',
  routes: [
    route('GET', '/items', 'list_items', 'green'),
    route('GET', '/items/{id}', 'read_item', 'green'),
    route('DELETE', '/items/:id', 'delete_item', 'red'),
    route('POST', '/items/*/notes/{note}.json', 'add_note', 'yellow'),
    route('*', '/admin/**', 'admin', 'red'),
    route('POST', '/send', 'api__send_email'),
    route('GET', '/**', 'anything', 'green'),
  ],
};
const name = (method: string, path: string) => nameRequest(api, method, path).tool;

describe('the name of a request', () => {
  it.each([
    ['GET', '/items', 'api__list_items'],
    ['HEAD', '/items', 'api__list_items'],
    ['GET', '/items/7', 'api__read_item'],
    ['GET', '/items/a%20b', 'api__read_item'],
    ['DELETE', '/items/7', 'api__delete_item'],
    ['POST', '/items/7/notes/first.json', 'api__add_note'],
    ['PUT', '/admin', 'api__admin'],
    ['PUT', '/admin/users/9', 'api__admin'],
    ['POST', '/send', 'api__send_email'],
    ['GET', '/else/where', 'api__anything'],
    ['PATCH', '/items/7', 'api__PATCH'],
    ['POST', '/items/7/notes/.json', 'api__add_note'],
    ['POST', '/items//notes/x.json', 'api__POST'],
  ])('%s %s is %s', (method, path, tool) => {
    expect(name(method, path)).toBe(tool);
  });

  it.each(['/Admin/users', '/ADMIN', '/admin;x=1/users', '/%41dmin/users'])('%s does not get past a route by its spelling', (path) => {
    expect(name('GET', path)).toBe('api__GET');
  });

  it('a trailing slash is another path than the one without', () => {
    expect(name('GET', '/items/')).toBe('api__GET');
  });

  it('gives the risk of the route, and none where no route fits', () => {
    expect(nameRequest(api, 'DELETE', '/items/7').risk).toBe('red');
    expect(nameRequest(api, 'POST', '/send').risk).toBeNull();
    expect(nameRequest(api, 'PATCH', '/nowhere').risk).toBeNull();
  });
});

describe('the target of a request', () => {
  it.each([
    '/../admin',
    '/a/./b',
    '/a//b',
    '/a/%2e%2e/b',
    '/a/%252e%252e/b',
    '/a/%25252e%25252e/b',
    '/a%2fb',
    '/a%5cb',
    '/a%255cb',
    '/a\\b',
    '/a/..;/b',
    '/a%00b',
    '/a%0d%0ab',
    '/a%zz',
    '/a%ff',
    '/a#b',
    '/\u00e9',
    'a',
    'http://other/',
    '/a?x=%zz',
    '/a?x=%ff',
  ])('%s is refused', (target) => {
    expect(readTarget(target)).toHaveProperty('why');
  });

  it('keeps the path as it came and reads the query', () => {
    expect(readTarget('/a%20b/100%25/?x=1&x=2&y=a+b%26&z')).toEqual({ path: '/a%20b/100%25/', query: { x: ['1', '2'], y: 'a b&', z: '' } });
  });

  it('has no names that reach a prototype', () => {
    const fields = readForm('__proto__=1&a=2');
    expect(Object.getPrototypeOf(fields)).toBe(Object.prototype);
    expect(Object.keys(fields ?? {})).toEqual(['__proto__', 'a']);
  });

  it('writes what it reads', () => {
    const fields = { a: ['1', '2 & 3'], b: 'é' };
    expect(readForm(writeForm(fields))).toEqual(fields);
  });
});
