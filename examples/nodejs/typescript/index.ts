import type {Request, Response} from '@openfunction/functions-framework';

export function helloWorld(req: Request, res: Response): void {
  const name: string = req.query.name ?? 'World';
  res.type('text/plain').send(`Hello, ${name}!\n`);
}
