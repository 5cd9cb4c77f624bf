import {Plugin} from '../../../index.js';

export class One extends Plugin {
  constructor() {
    super('one', 'v1');
  }

  async execPreHook() {
    console.log('before one');
  }

  async execPostHook() {
    console.log('after one');
  }
}

export class Two extends Plugin {
  constructor() {
    super('two', 'v1');
  }

  async execPreHook() {
    console.log('before two');
  }

  async execPostHook() {
    console.log('after two');
  }
}
